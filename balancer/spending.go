// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// spendWindow is how long what a project spends counts against its spend limit.
// Source: https://ai.google.dev/gemini-api/docs/rate-limits, "Spend-based rate
// limits", and specs/gateways.md §4.3.
const spendWindow = 10 * time.Minute
