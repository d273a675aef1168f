// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// answer is a whole error answer.
type answer struct {
	status int
	kind   string // Content-Type; "" = JSON
	body   []byte
}

const rpcType = "type.googleapis.com/google.rpc."

type object = map[string]any

// rpcNames by HTTP status. Source: specs/native-anthropic.md A.15.
var rpcNames = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
	429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// messages that Google sends with a status, for [Steer.Status].
var messages = map[int]string{
	400: "Request contains an invalid argument.",
	401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
	403: "The caller does not have permission",
	404: "Requested entity was not found.",
	429: "Resource has been exhausted (e.g. check quota).",
	499: "The operation was cancelled.",
	500: "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
	501: "Operation is not implemented, or supported, or enabled.",
	503: "The model is overloaded. Please try again later.",
	504: "Deadline expired before operation could complete.",
}

// failure is Google's error body, printed as Google prints it.
func failure(status int, message string, details ...object) answer {
	return failureAs(status, rpcNames[status], message, details...)
}

func failureAs(status int, rpc, message string, details ...object) answer {
	e := struct {
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Status  string   `json:"status,omitempty"`
		Details []object `json:"details,omitempty"`
	}{status, message, rpc, details}
	return answer{status: status, body: pretty(map[string]any{"error": e})}
}

// pretty encodes v like Google: indented, HTML characters as they are.
func pretty(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(err) // only our own types come here
	}
	return []byte(b.String())
}

func htmlPage(status int, title, text string) answer {
	return answer{status: status, kind: "text/html; charset=UTF-8", body: []byte("<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>" +
		title + "</title>\n<p><b>" + strconv.Itoa(status) + ".</b> <ins>That’s an error.</ins>\n<p>" + text + "\n</html>\n")}
}

func errorInfo(reason string, metadata object) object {
	if metadata == nil {
		metadata = object{}
	}
	metadata["service"] = "generativelanguage.googleapis.com"
	return object{"@type": rpcType + "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}
}

const unregistered = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API."

// keyAnswer is how Google answers a key in a state that is not KeyOK.
// Source: specs/openai.md §13.2.
func keyAnswer(state KeyState, secret, number string) answer {
	consumer := object{"consumer": "projects/" + number}
	switch state {
	case keyMissing, keyWrongPlace:
		return failure(403, unregistered)
	case KeyExpired:
		return failure(400, "API key expired. Please renew the API key.", errorInfo("API_KEY_INVALID", nil))
	case KeySuspended:
		consumer["containerInfo"] = "api_key:" + secret
		return failure(403, "Permission denied: Consumer 'api_key:"+secret+"' has been suspended.", errorInfo("CONSUMER_SUSPENDED", consumer))
	case KeyLeaked:
		return failure(403, "Your API key was reported as leaked. Please use another API key.")
	case KeyBlocked:
		return failure(403, "Requests to this API generativelanguage.googleapis.com method google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent are blocked.",
			errorInfo("API_KEY_SERVICE_BLOCKED", consumer))
	case KeyReferrer:
		return failure(403, "Requests from referer <empty> are blocked.", errorInfo("API_KEY_HTTP_REFERRER_BLOCKED", consumer))
	case KeyRefused:
		return failure(401, messages[401], errorInfo("ACCESS_TOKEN_TYPE_UNSUPPORTED", nil))
	case KeyAPIOff:
		return failure(403, "Generative Language API has not been used in project "+number+" before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/generativelanguage.googleapis.com/overview?project="+number+" then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
			errorInfo("SERVICE_DISABLED", consumer))
	case KeyLocation:
		return failureAs(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")
	case KeyNoBilling:
		return failureAs(400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.")
	case KeyDepleted:
		return failure(429, "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.")
	case KeyRobot:
		return htmlPage(429, "Sorry...", "We're sorry... but your computer or network may be sending automated queries. To protect our users, we can't process your request right now.")
	default:
		const invalid = "API key not valid. Please pass a valid API key."
		return failure(400, invalid, errorInfo("API_KEY_INVALID", nil), object{"@type": rpcType + "LocalizedMessage", "locale": "en-US", "message": invalid})
	}
}

func modelMissing(id, version, method string) answer {
	return failure(404, "models/"+id+" is not found for API version "+version+", or is not supported for "+method+
		". Call ModelService.ListModels to see the list of available models and their supported methods.")
}

func modelForOldUsers(id string) answer {
	return failure(404, "This model models/"+id+" is no longer available to new users. Please update your code to use a newer model for the latest features and improvements.")
}

// quotaAnswer is a 429 with every quota that is used up. The message has the
// exact wait, retryDelay only its whole seconds, as at Google's.
func quotaAnswer(over []overrun, wait time.Duration) answer {
	var m strings.Builder
	m.WriteString("You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ")
	var violations []object
	for _, o := range over {
		fmt.Fprintf(&m, "\n* Quota exceeded for metric: %s, limit: %d, model: %s", o.metric, o.limit, o.model)
		v := object{"quotaMetric": o.metric, "quotaId": o.id, "quotaDimensions": object{"location": "global", "model": o.model}}
		if o.limit > 0 { // proto3 leaves out zeros
			v["quotaValue"] = strconv.FormatInt(o.limit, 10)
		}
		violations = append(violations, v)
	}
	seconds := strconv.FormatFloat(wait.Seconds(), 'f', -1, 64)
	fmt.Fprintf(&m, "\nPlease retry in %ss.", seconds)
	return failure(429, m.String(),
		object{"@type": rpcType + "Help", "links": []object{{"description": "Learn more about Gemini API quotas", "url": "https://ai.google.dev/gemini-api/docs/rate-limits"}}},
		object{"@type": rpcType + "QuotaFailure", "violations": violations},
		object{"@type": rpcType + "RetryInfo", "retryDelay": strconv.FormatInt(int64(wait/time.Second), 10) + "s"})
}
