// SPDX-License-Identifier: Apache-2.0

// Package fakegemini is a simulated Gemini API with Google's quota semantics,
// error bodies and stream forms, for tests, the demo and benchmarks. It answers
// deterministically, can be told to fail in every way that was seen, and keeps
// exact books of what it was asked.
//
//	google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: "k1"}}})
//	if err := google.Start(); err != nil { … }
//	defer google.Close()
//	// google.URL is the upstream
//
// How an answer goes is steered by [Server.Script], by directives in the last
// user text such as "[[status 503]]", or by the model "fake-503"; see [Steer].
package fakegemini

import (
	"cmp"
	"strconv"
	"time"
)

// Config is what a [Server] simulates. The zero value knows the default models
// and no key.
type Config struct {
	Keys     []Key
	Projects []Project // details; a project that keys name and that is not here has the defaults
	Models   []Model   // nil = DefaultModels()
	Limits   Limits    // of every (project, model) that a Project does not say
	Aligned  bool      // minute windows follow the clock; otherwise they roll
	Now      func() time.Time
	Seed     uint64 // of Rule.Chance, Latency and response ids
	Latency  Latency

	// ImplicitCache reports the longest prefix of a conversation that the project
	// has seen before as cached tokens, from this many tokens on; 0 = never.
	ImplicitCache int64

	// TokenPrice is what a token costs in nano-USD, of input or output; see
	// Project.Spend.
	TokenPrice int64

	// Rates are what models cost, by Model.Base or its ID; see Entry.Charge.
	Rates map[string]Rate

	// FileProcessing is how long an uploaded video is PROCESSING. Other files are
	// ACTIVE at once. A video whose display name has "broken" in it is FAILED then.
	FileProcessing time.Duration

	// OnlyBeta are the families that v1 does not know, such as "cachedContents".
	// The zero value knows all everywhere.
	OnlyBeta []string

	// CacheMinimum is the least number of tokens to cache; 0 = 1024, as Google's.
	CacheMinimum int64

	// BatchTime is how long a batch takes: one half of it PENDING, the other one
	// RUNNING. 0 = it has succeeded when it is asked for first. One whose display
	// name has "broken" in it fails then. See [Server.SetBatchState].
	BatchTime time.Duration

	// OperationPolls is how often an operation is asked for before it is done;
	// 0 = it is done when it is asked for first. See [Server.FinishOperation].
	OperationPolls int

	// DownloadURL is where downloads of videos are redirected to: scheme and host;
	// "" = those of the request. The path there is /download/v1beta/….
	DownloadURL string

	// Entries is how many requests the books hold; older ones are forgotten.
	// 0 = all.
	Entries int
	Brief   bool // the books hold no headers and bodies

	// Lean keeps no books but counters, checks keys only for being known, and
	// knows only the precomputed answers of the bench-… models. For benchmarks.
	Lean bool
}

// KeyState is how Google answers a key.
type KeyState string

// The states of keys. Every one but KeyOK is answered with the body that was
// seen in the wild.
const (
	KeyOK         KeyState = ""
	KeyInvalid    KeyState = "invalid"    // 400 API_KEY_INVALID
	KeyExpired    KeyState = "expired"    // 400 API_KEY_INVALID, other words
	KeySuspended  KeyState = "suspended"  // 403 CONSUMER_SUSPENDED with the whole key in the text
	KeyLeaked     KeyState = "leaked"     // 403 without details
	KeyBlocked    KeyState = "blocked"    // 403 API_KEY_SERVICE_BLOCKED
	KeyReferrer   KeyState = "referrer"   // 403 API_KEY_HTTP_REFERRER_BLOCKED
	KeyRefused    KeyState = "refused"    // 401 ACCESS_TOKEN_TYPE_UNSUPPORTED
	KeyAPIOff     KeyState = "api_off"    // 403 SERVICE_DISABLED
	KeyLocation   KeyState = "location"   // 400 user location
	KeyDepleted   KeyState = "depleted"   // 429 prepayment credits
	KeyRobot      KeyState = "robot"      // 429 HTML page about automated queries
	KeyNoBilling  KeyState = "no_billing" // 400 FAILED_PRECONDITION
	keyUnknown    KeyState = "unknown"
	keyMissing    KeyState = "missing"
	keyWrongPlace KeyState = "wrong_place"
)

// Key is one API key.
type Key struct {
	Secret  string
	Project string // name; "" = a project of its own
	State   KeyState
	Slow    float64 // its answers take so many times as long; 0 = 1
}

// Project owns quota.
type Project struct {
	Name   string
	Number string            // consumer number in errors; "" = derived
	Models []string          // models it may use; nil = all
	Limits map[string]Limits // by model id; missing = Config.Limits
	Paid   bool              // quota ids without -FreeTier
	Spend  int64             // nano-USD within ten minutes, on all models; 0 = no limit
}

// Limits of one (project, model). 0 = no limit, negative = the quota is 0, so
// that Google says "limit: 0".
type Limits struct {
	RPM, TPM, RPD int64
}

// Model is one entry of the models list.
type Model struct {
	ID          string
	Base        string // what answers, names quota and stands in modelVersion; "" = ID
	Name        string // displayName
	Input       int64  // inputTokenLimit
	Output      int64  // outputTokenLimit
	Methods     []string
	Thinking    bool
	Generation  int  // 2, 3, …: rules for signatures, knobs and function ids
	NoTrailing  bool // refuses a model turn as the last one
	NoSystem    bool // refuses a system instruction
	Dimensions  int  // of embeddings; 0 = none
	Image, TTS  bool // what it answers with
	OnlyBeta    bool // v1 does not know it
	Unavailable bool // "no longer available to new users"
}

var (
	chatMethods  = []string{"generateContent", "countTokens", "createCachedContent", "batchGenerateContent"}
	embedMethods = []string{"embedContent", "countTextTokens", "countTokens", "asyncBatchEmbedContent"}
)

// DefaultModels is a list as Google's in late 2026.
// Source: specs/openai.md §2.
func DefaultModels() []Model {
	chat := func(id, name string, generation int) Model {
		return Model{ID: id, Name: name, Input: 1048576, Output: 65536, Methods: chatMethods, Thinking: true, Generation: generation}
	}
	trailing := func(m Model, base string) Model {
		m.NoTrailing, m.Base = true, base
		return m
	}
	return []Model{
		chat("gemini-2.5-pro", "Gemini 2.5 Pro", 2),
		chat("gemini-2.5-flash", "Gemini 2.5 Flash", 2),
		chat("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 2),
		chat("gemini-3-flash-preview", "Gemini 3 Flash Preview", 3),
		chat("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview", 3),
		chat("gemini-3.1-flash-lite", "Gemini 3.1 Flash-Lite", 3),
		chat("gemini-3.5-flash", "Gemini 3.5 Flash", 3),
		trailing(chat("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite", 3), ""),
		trailing(chat("gemini-3.6-flash", "Gemini 3.6 Flash", 3), ""),
		trailing(chat("gemini-3.7-flash", "Gemini 3.7 Flash", 3), ""),
		trailing(chat("gemini-3.8-flash", "Gemini 3.8 Flash", 3), ""),
		trailing(chat("gemini-flash-latest", "Gemini Flash Latest", 3), "gemini-3.8-flash"),
		trailing(chat("gemini-flash-lite-latest", "Gemini Flash-Lite Latest", 3), "gemini-3.5-flash-lite"),
		trailing(chat("gemini-pro-latest", "Gemini Pro Latest", 3), "gemini-3.1-pro-preview"),
		{ID: "gemini-2.0-flash", Name: "Gemini 2.0 Flash", Input: 1048576, Output: 8192, Methods: chatMethods, Generation: 2, Unavailable: true},
		{ID: "gemini-2.5-flash-image", Name: "Nano Banana", Input: 32768, Output: 32768, Methods: chatMethods, Generation: 2, Image: true},
		{ID: "gemini-3-pro-image", Name: "Nano Banana Pro", Input: 131072, Output: 32768, Methods: chatMethods, Generation: 3, Image: true, Thinking: true},
		{ID: "gemini-2.5-flash-preview-tts", Name: "Gemini 2.5 Flash Preview TTS", Input: 8192, Output: 16384, Methods: chatMethods[:2], Generation: 2, TTS: true, NoSystem: true},
		{ID: "gemma-3-27b-it", Name: "Gemma 3 27B", Input: 131072, Output: 8192, Methods: chatMethods[:2], Generation: 1, NoSystem: true},
		{ID: "gemini-embedding-001", Name: "Gemini Embedding 001", Input: 2048, Output: 1, Methods: embedMethods, Dimensions: 3072},
		{ID: "gemini-embedding-2", Name: "Gemini Embedding 2", Input: 8192, Output: 1, Methods: embedMethods, Dimensions: 3072},
		{ID: "lyria-realtime-exp", Name: "Lyria Realtime", Input: 131072, Output: 65536, Methods: []string{"bidiGenerateMusic"}},
		{ID: "gemini-2.5-flash-native-audio-preview", Name: "Gemini 2.5 Flash Native Audio", Input: 131072, Output: 8192, Methods: []string{"countTokens", "bidiGenerateContent"}, Generation: 2},
		{ID: "veo-3.1-generate-preview", Name: "Veo 3.1", Input: 480, Output: 8192, Methods: []string{"predictLongRunning"}},
		{ID: "imagen-4.0-generate-001", Name: "Imagen 4", Input: 480, Output: 8192, Methods: []string{"predict"}},
	}
}

func (m *Model) base() string { return cmp.Or(m.Base, m.ID) }

// DemoKey returns the n-th key of [Demo]: shaped like Google's, and made up.
func DemoKey(n int) string {
	digits := "00000" + strconv.Itoa(n)
	return "AIzaSyDemoKeyOfASimulatedGoogle-ab" + digits[len(digits)-5:]
}

// Demo is a pool as people have it: eight keys, of which the third does not
// exist any more, the fifth is suspended, and the seventh has no request left
// today. The other five have the limits of the free tier.
func Demo() Config {
	c := Config{Limits: Limits{RPM: 10, TPM: 250_000, RPD: 250}, ImplicitCache: 1024, Entries: 1000}
	for n := 1; n <= 8; n++ {
		k := Key{Secret: DemoKey(n), Project: "demo-" + strconv.Itoa(n)}
		p := Project{Name: k.Project}
		switch n {
		case 3:
			k.State = KeyInvalid
		case 5:
			k.State = KeySuspended
		case 7:
			p.Limits = map[string]Limits{}
			for _, m := range DefaultModels() {
				p.Limits[m.base()] = Limits{RPM: 10, TPM: 250_000, RPD: SpentDay}
			}
		}
		c.Keys = append(c.Keys, k)
		c.Projects = append(c.Projects, p)
	}
	return c
}

// SpentDay as Limits.RPD is a day's quota of 20 that others have used up.
const SpentDay = -20
