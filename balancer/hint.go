// SPDX-License-Identifier: Apache-2.0

package balancer

import "strings"

// OldTypePrefix begins the Gemini keys of the type before the present one. Google
// refuses those of them that are not restricted since 2026-06-19 and has announced
// to refuse all; new ones begin otherwise. Source: specs/peers.md §4b.
const OldTypePrefix = "AIza"

const oldType = "This is a key of the old type (AIza…). Google refuses those without restrictions since 2026-06-19 and has announced to switch off all of them: make a new key in AI Studio and add it."

// hints say what an operator can do about a key, by its state and a part of the
// reason in lower case; the first row that fits counts. Sources: specs/openai.md
// §13.3 rows 1 to 3, specs/peers.md §4b.
var hints = []struct {
	state  State
	part   string // of the reason; "" for any
	old    bool   // only for a key of the old type
	advice string
}{
	{StateInvalid, "expired", false, "The key has expired: make a new one in AI Studio, add it and delete this one."},
	{StateInvalid, "", true, "Google does not know the key. " + oldType},
	{StateInvalid, "", false, "Google does not know the key: it was deleted, or copied wrongly. Compare it in AI Studio, or make a new one there, and delete this one."},
	{StateLeaked, "", false, "Google found the key in public and does not take it again: make a new one in AI Studio, add it and delete this one. Find out where it leaked first."},
	{StateSuspended, "", false, "Google has suspended the key's project, with all of its keys: appeal in the Google Cloud console, or use keys of another project. A new key of the same project does not help."},
	{StateMisconfigured, "service_disabled", false, "The Generative Language API is off in the key's project: switch it on in the Google Cloud console, then reset the key here."},
	{StateMisconfigured, "has not been used in project", false, "The Generative Language API is off in the key's project: switch it on in the Google Cloud console, then reset the key here."},
	{StateMisconfigured, "ip_address", false, "The key is restricted to addresses that this server does not have: add its address in the Google Cloud console, then reset the key here."},
	{StateMisconfigured, "referrer", false, "The key is restricted to web pages: take the HTTP referrer restriction off in the Google Cloud console, then reset the key here."},
	{StateMisconfigured, "_app_blocked", false, "The key is restricted to an app: take that restriction off in the Google Cloud console, then reset the key here."},
	{StateMisconfigured, "models forbidden", false, "The key's project may not use the models that were asked for: see its access in AI Studio, then reset the key here."},
	{StateMisconfigured, "", true, "Google refuses the key although it exists. " + oldType},
	{StateMisconfigured, "", false, "Google refuses the key although it exists: see its API restrictions in the Google Cloud console, let it use the Generative Language API, then reset the key here."},
	{StateDisabled, "", false, "An operator has disabled the key; enable it to use it again."},
	{StateActive, "", true, oldType},
	{StateUntested, "", true, oldType},
}

// hint returns what can be done about a key; "" for nothing.
func hint(secret string, state State, reason string) string {
	old := strings.HasPrefix(secret, OldTypePrefix)
	reason = strings.ToLower(reason)
	for _, h := range hints {
		if h.state == state && (!h.old || old) && strings.Contains(reason, h.part) {
			return h.advice
		}
	}
	return ""
}

// restHints say what an operator can do about a rest, by the words for why it is.
var restHints = map[string]string{
	why[UnfundedProject]: "The project has no credit left, reached its monthly spending cap or has no billing: see its billing in AI Studio. It is tried again by itself.",
	why[SpendLimited]:    "The project has spent as much as its tier may within ten minutes, over all models. Google lets it go on by itself; a higher tier has a higher limit, and keys of another billing account have one of their own.",
	why[Location]:        "Google does not serve the region that requests come from: give the key a proxy in another region, or a project with billing.",
	why[ModelForbidden]:  "The project may not use this model: see its access in AI Studio.",
	why[ModelMissing]:    "Google does not offer this model to the project: take another, or the model's present name.",
	why[NoQuota]:         "The model is not in the project's tier: switch on billing in AI Studio, or use keys of a project that has it.",
	why[RouteBlocked]:    "Google takes this server's address for a robot's: give the keys a proxy, or wait.",
	why[Network]:         "The way to Google is in trouble: see the proxy and the network.",
}

// Mask returns what may be shown of a secret: its first four and last four
// characters, and of one that is short no more than a third. Source: specs/ui.md §5.
func Mask(secret string) string {
	const shown = 4
	n := min(shown, len(secret)/6)
	return secret[:n] + "…" + secret[len(secret)-n:]
}
