// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are made once and registered with each configuration's registry, which
// Caddy makes anew on every reload: so counters go on counting.
var metrics = newMetricSet()

type metricSet struct {
	requests    *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	tokens      *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	firstOutput *prometheus.HistogramVec
	inFlight    prometheus.Gauge
	pool        poolCollector
}

func newMetricSet() *metricSet {
	const namespace, subsystem = "caddy", "gemini_balance"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
		}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
			// Models take from a quarter of a second to minutes.
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320},
		}, labels)
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
	}
	return &metricSet{
		requests:    counter("requests_total", "Requests of clients.", "dialect", "model", "outcome"),
		attempts:    counter("attempts_total", "Requests to Google.", "model", "outcome"),
		tokens:      counter("tokens_total", "Tokens that Google counted; kind is input, cached, output or thoughts, and input includes cached.", "model", "kind"),
		duration:    histogram("request_duration_seconds", "Time from a client's request to the end of its answer.", "dialect"),
		firstOutput: histogram("time_to_first_event_seconds", "Time from a client's request to the first output.", "dialect"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "in_flight_requests", Help: "Requests of clients that are being served.",
		}),
		pool: poolCollector{
			keys:    desc("keys", "Gemini keys in the pool.", "state"),
			resting: desc("resting", "Rests in force: a model of a project, a project, a key, a model or a route that is left alone for a while."),
			waiting: desc("waiting_requests", "Requests that wait for a Gemini key to recover."),
		},
	}
}

// registerMetrics puts the metrics into a configuration's registry. The App of
// another Provision may have been there before.
func registerMetrics(registry *prometheus.Registry) error {
	m := metrics
	for _, c := range []prometheus.Collector{m.requests, m.attempts, m.tokens, m.duration, m.firstOutput, m.inFlight, m.pool} {
		err := registry.Register(c)
		if _, registered := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !registered {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// poolCollector reads the pool of the newest configuration when it is asked.
type poolCollector struct{ keys, resting, waiting *prometheus.Desc }

// Describe implements prometheus.Collector.
func (c poolCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.keys
	ch <- c.resting
	ch <- c.waiting
}

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	a := newest.Load()
	if a == nil {
		return
	}
	stats := a.shared.pool.Stats()
	gauge := func(desc *prometheus.Desc, value int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	for state, count := range stats.States {
		gauge(c.keys, count, string(state))
	}
	gauge(c.resting, stats.Resting)
	gauge(c.waiting, stats.Waiting)
}
