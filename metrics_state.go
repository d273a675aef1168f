// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// stateCollector reads the state of the newest configuration when it is asked. It
// costs the same for every number of Gemini keys.
type stateCollector struct {
	build, keys, resting, attempts, waiting, streams, sessions *prometheus.Desc
	routeUp, routeKeys                                         *prometheus.Desc
	left, unknown                                              *prometheus.Desc
	storeFailing, logRows, logBytes, logLost, shed             *prometheus.Desc
}

func newStateCollector() stateCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
	}
	return stateCollector{
		build:        desc("build_info", "Always 1; what is running.", "version", "caddy", "go"),
		keys:         desc("keys", "Gemini keys in the pool.", "state"),
		resting:      desc("resting", "Rests in force: what is left alone for a while, by what it is and why; of a model in a project, a project, a key, a model or a route.", "scope", "kind"),
		attempts:     desc("in_flight_attempts", "Requests to Google that are under way."),
		waiting:      desc("waiting_requests", "Requests that wait for a Gemini key to recover."),
		streams:      desc("open_streams", "Streamed answers under way."),
		sessions:     desc("live_sessions", "Sessions of the Live API under way."),
		routeUp:      desc("route_up", "Whether an egress route is used; 0 while it rests.", "route"),
		routeKeys:    desc("route_keys", "Gemini keys in service that take an egress route.", "route"),
		left:         desc("quota_left_requests", "Requests for a model that the projects whose limit is known have left, until Pacific midnight or in this minute.", "model", "window"),
		unknown:      desc("quota_unknown_projects", "Projects whose limit for a model is not known.", "model", "window"),
		storeFailing: desc("store_failing", "1 while the store refuses what was learned at run time.", "part"),
		logRows:      desc("request_log_rows", "Rows of the request log."),
		logBytes:     desc("request_log_bytes", "Size of the request log."),
		logLost:      desc("request_log_lost_rows_total", "Rows that found no room, because the store failed for long."),
		shed:         desc("shed_requests_total", "Requests turned away because memory, file descriptors or processors bear no more. Nothing of them was read, and they are in no other figure; but for the large bodies that memory bears no more, which are among refusals and requests."),
	}
}

// Describe implements prometheus.Collector.
func (c stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.build, c.keys, c.resting, c.attempts, c.waiting, c.streams, c.sessions, c.routeUp, c.routeKeys,
		c.left, c.unknown, c.storeFailing, c.logRows, c.logBytes, c.logLost, c.shed,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(ch chan<- prometheus.Metric) {
	a := newest.Load()
	if a == nil {
		return
	}
	r := a.shared
	gauge := func(desc *prometheus.Desc, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	gauge(c.build, 1, moduleVersion, caddyVersion(), runtime.Version())
	g := r.pool.Gauges()
	for _, state := range balancer.States {
		gauge(c.keys, int64(g.States[state]), string(state))
	}
	for _, n := range restsOf(g.Rests) {
		gauge(c.resting, int64(n.Count), n.Scope, n.Kind)
	}
	gauge(c.attempts, int64(g.InFlight))
	gauge(c.waiting, int64(g.Waiting))
	gauge(c.streams, r.open.Streams.Load())
	gauge(c.sessions, r.open.Sessions.Load())
	for _, route := range boundRoutes(g.Routes) {
		up := int64(1)
		if route.Out {
			up = 0
		}
		gauge(c.routeUp, up, route.Route)
		gauge(c.routeKeys, int64(route.Keys), route.Route)
	}
	c.collectQuotas(r, gauge)
	for _, part := range storeParts {
		gauge(c.storeFailing, int64(r.storeFailing[part].Load()), partWords[part])
	}
	kept := r.usage.Log().Kept()
	gauge(c.logRows, kept.Rows)
	gauge(c.logBytes, kept.Bytes)
	ch <- prometheus.MustNewConstMetric(c.logLost, prometheus.CounterValue, float64(kept.Lost))
	ch <- prometheus.MustNewConstMetric(c.shed, prometheus.CounterValue, float64(gate().Refused()))
}

func (c stateCollector) collectQuotas(r *resource, gauge func(*prometheus.Desc, int64, ...string)) {
	for _, f := range r.forecast.get(r.pool) {
		if r.models.label(f.Model) != f.Model {
			continue // clients may ask for any name
		}
		for _, w := range [...]struct {
			word string
			balancer.Outlook
		}{{"day", f.Day}, {"minute", f.Minute}} {
			if w.Left != nil {
				gauge(c.left, *w.Left, f.Model, w.word)
			}
			gauge(c.unknown, int64(w.Unknown), f.Model, w.word)
		}
	}
}

// usualRests are the counts that are told of even where they are 0.
var usualRests = []balancer.RestCount{
	{Scope: "project_model", Kind: balancer.Cooling},
	{Scope: "project_model", Kind: balancer.ExhaustedForDay},
	{Scope: "project_model", Kind: balancer.NotAvailable},
	{Scope: "project_model", Kind: balancer.Broken},
	{Scope: "project", Kind: balancer.Cooling},
	{Scope: "key", Kind: balancer.Cooling},
	{Scope: "model", Kind: balancer.Cooling},
	{Scope: "route", Kind: balancer.Cooling},
}

// restsOf completes what is there.
func restsOf(there []balancer.RestCount) []balancer.RestCount {
	all := slices.Clone(there)
	for _, usual := range usualRests {
		if !slices.ContainsFunc(there, func(n balancer.RestCount) bool { return n.Scope == usual.Scope && n.Kind == usual.Kind }) {
			all = append(all, usual)
		}
	}
	return all
}

const (
	// directRoute is the label of the way without a proxy.
	directRoute = "direct"
	// maxRoutes bounds the labels of routes: keys may have proxies of their own.
	maxRoutes = 50
)

// boundRoutes gives routes their labels. Those with the same host are one; those
// beyond the bound are one, too, which is out when one of them is.
func boundRoutes(routes []balancer.RouteGauge) (out []balancer.RouteGauge) {
	for _, r := range routes {
		if r.Route == "" {
			r.Route = directRoute
		}
		i := slices.IndexFunc(out, func(o balancer.RouteGauge) bool { return o.Route == r.Route })
		if i < 0 && len(out) >= maxRoutes {
			r.Route = usage.Other
			i = slices.IndexFunc(out, func(o balancer.RouteGauge) bool { return o.Route == r.Route })
		}
		if i < 0 {
			out = append(out, r)
			continue
		}
		out[i].Keys += r.Keys
		out[i].Out = out[i].Out || r.Out
	}
	return out
}

const (
	// fewKeys is up to how many keys what is left of quotas is summed up while a scrape
	// waits; of more, the scrape gets the sums of the one before.
	fewKeys = 2000
	// forecastEvery is how old those may be before they are made anew.
	forecastEvery = 10 * time.Second
)

// forecasts are what is left of quotas, as far as known. The zero value is ready. Safe
// for concurrent use.
type forecasts struct {
	last    atomic.Pointer[madeForecasts]
	running atomic.Bool
}

type madeForecasts struct {
	at  time.Time
	all []balancer.Forecast
}

func (f *forecasts) get(pool *balancer.Pool) []balancer.Forecast {
	if pool.Stats().Keys <= fewKeys {
		return pool.Forecasts()
	}
	last := f.last.Load()
	if (last == nil || time.Since(last.at) > forecastEvery) && f.running.CompareAndSwap(false, true) {
		go func() {
			defer f.running.Store(false)
			f.last.Store(&madeForecasts{all: pool.Forecasts(), at: time.Now()})
		}()
	}
	if last == nil {
		return nil
	}
	return last.all
}

// caddyVersion is that of Caddy, for people.
func caddyVersion() string {
	simple, _ := caddy.Version()
	return simple
}
