// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// metrics are made once and registered with each configuration's registry, which
// Caddy makes anew on every reload: so counters go on counting.
var metrics = newMetricSet()

// metricSet are all metrics. Their labels have few values, whatever clients send:
// models are those that are known (see modelNames), all else is a word of ours.
type metricSet struct {
	requests, attempts, tokens, cost, unpriced *prometheus.CounterVec
	refusals, hedges, keyChanges, storeErrors  *prometheus.CounterVec
	events, eventsDropped                      *prometheus.CounterVec
	duration, firstOutput, attempt             *prometheus.HistogramVec
	wait                                       prometheus.Histogram
	inFlight                                   prometheus.Gauge
	state                                      stateCollector

	// What requests count with: found without an allocation.
	models    handles[string, *modelSeries]
	durations handles[string, prometheus.Observer]
	refused   handles[string, prometheus.Counter]
}

// The buckets of times, in seconds.
var (
	// Models take from a quarter of a second to minutes.
	answerBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320}
	// Most requests get a Gemini key at once; retry.wait is 10 s unless it is set.
	waitBuckets = []float64{.001, .01, .1, .5, 1, 2.5, 5, 10, 20, 40}
)

const namespace, subsystem = "caddy", "gemini_balance"

func newCounter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func newHistogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: answerBuckets,
	}, labels)
}

func newMetricSet() *metricSet {
	m := &metricSet{
		requests:      newCounter("requests_total", "Requests of clients.", "dialect", "model", "outcome"),
		attempts:      newCounter("attempts_total", "Requests to Google.", "model", "outcome"),
		tokens:        newCounter("tokens_total", "Tokens that Google counted; kind is input, cached, output, thoughts or tool_use, and input includes cached.", "model", "kind"),
		cost:          newCounter("cost_usd_total", "What Google charges for requests whose price is known, in US dollars.", "model"),
		unpriced:      newCounter("unpriced_requests_total", "Requests whose price nobody knows.", "model"),
		refusals:      newCounter("refusals_total", "Requests turned away without an answer of Google's: by a limit of their user key, for want of a Gemini key, or of memory for a large body.", "reason"),
		hedges:        newCounter("hedges_total", "Attempts made because another one was slow; outcome is won, lost or failed.", "outcome"),
		keyChanges:    newCounter("key_state_changes_total", "Gemini keys that came into a state.", "state"),
		storeErrors:   newCounter("store_failures_total", "Times that the store began to refuse what was learned at run time.", "part"),
		events:        newCounter("events_total", "Events handed to Caddy.", "event"),
		eventsDropped: newCounter("events_dropped_total", "Events that were too many to be handed to Caddy.", "event"),
		duration:      newHistogram("request_duration_seconds", "Time from a client's request to the end of its answer.", "dialect"),
		firstOutput:   newHistogram("time_to_first_event_seconds", "Time from a client's request to the first output.", "model"),
		attempt:       newHistogram("attempt_duration_seconds", "Time from a request to Google to the end of its answer.", "model"),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "key_wait_seconds", Help: "Time that requests waited for Gemini keys, all of their attempts together.", Buckets: waitBuckets,
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "in_flight_requests", Help: "Requests of clients that are being served.",
		}),
		state: newStateCollector(),
	}
	m.begin()
	m.models.make = m.newModelSeries
	m.durations.make = func(dialect string) prometheus.Observer { return m.duration.WithLabelValues(dialect) }
	m.refused.make = func(reason string) prometheus.Counter { return m.refusals.WithLabelValues(reason) }
	return m
}

// begin makes the series that are few, so that the first increase is seen as one.
func (m *metricSet) begin() {
	for reason := range refusalWords {
		m.refusals.WithLabelValues(reason)
	}
	for _, outcome := range []string{"won", "lost", "failed"} {
		m.hedges.WithLabelValues(outcome)
	}
	for _, state := range balancer.States {
		m.keyChanges.WithLabelValues(string(state))
	}
	for _, part := range partWords {
		m.storeErrors.WithLabelValues(part)
	}
	for _, name := range eventNames {
		m.events.WithLabelValues(name)
		m.eventsDropped.WithLabelValues(name)
	}
}

// collectors are all of the metrics.
func (m *metricSet) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.attempts, m.tokens, m.cost, m.unpriced, m.refusals, m.hedges, m.keyChanges, m.storeErrors, m.events, m.eventsDropped,
		m.duration, m.firstOutput, m.attempt, m.wait, m.inFlight, m.state,
	}
}

// registerMetrics puts the metrics into a configuration's registry. The App of
// another Provision may have been there before.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range metrics.collectors() {
		err := registry.Register(c)
		if _, registered := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !registered {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// modelSeries are the metrics of one model.
type modelSeries struct {
	requests                                 handles[requestLabels, prometheus.Counter]
	attempts                                 handles[string, prometheus.Counter] // by outcome
	input, cached, output, thoughts, toolUse prometheus.Counter
	cost, unpriced                           prometheus.Counter
	firstOutput, attempt                     prometheus.Observer
}

type requestLabels struct{ dialect, outcome string }

func (m *metricSet) newModelSeries(model string) *modelSeries {
	tokens := func(kind string) prometheus.Counter { return m.tokens.WithLabelValues(model, kind) }
	s := &modelSeries{
		input: tokens("input"), cached: tokens("cached"), output: tokens("output"), thoughts: tokens("thoughts"), toolUse: tokens("tool_use"),
		cost: m.cost.WithLabelValues(model), unpriced: m.unpriced.WithLabelValues(model),
		firstOutput: m.firstOutput.WithLabelValues(model), attempt: m.attempt.WithLabelValues(model),
	}
	s.requests.make = func(l requestLabels) prometheus.Counter {
		return m.requests.WithLabelValues(l.dialect, model, l.outcome)
	}
	s.attempts.make = func(outcome string) prometheus.Counter { return m.attempts.WithLabelValues(model, outcome) }
	return s
}

// handles finds what belongs to a key, of which there are few, without a lock and
// without an allocation once it is made. Safe for concurrent use.
type handles[K comparable, V any] struct {
	make  func(K) V // set before first use
	known atomic.Pointer[map[K]V]
	mu    sync.Mutex // held by who adds one
}

func (h *handles[K, V]) of(k K) V {
	if known := h.known.Load(); known != nil {
		if v, there := (*known)[k]; there {
			return v
		}
	}
	return h.add(k)
}

func (h *handles[K, V]) add(k K) V {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := map[K]V{}
	if known := h.known.Load(); known != nil {
		if v, there := (*known)[k]; there {
			return v
		}
		maps.Copy(next, *known)
	}
	v := h.make(k)
	next[k] = v
	h.known.Store(&next)
	return v
}
