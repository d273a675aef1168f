// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"net/http"
	"testing"
	"time"
)

// A refusal for a minute's quota, which a pool at its limits meets all the time.
const quotaRefusal = `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10, model: gemini-2.5-flash\nPlease retry in 45.837906927s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"Learn more about Gemini API quotas","url":"https://ai.google.dev/gemini-api/docs/rate-limits"}]},{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"location":"global","model":"gemini-2.5-flash"},"quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"45s"}]}}`

func BenchmarkRefusal(b *testing.B) {
	body, now := []byte(quotaRefusal), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		o := Classify(Answer{Status: http.StatusTooManyRequests, Body: body, Model: "gemini-2.5-flash", Now: now, Secret: "AIzaSyA0000000000000000000000000000000000"})
		_ = Failure(o, body)
	}
}
