// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// below are the ways to wait for the end of a lifetime: itself, one that follows it, and
// contexts of others that do.
func below(t *testing.T, l *lifetime) map[string]context.Context {
	child := new(watchdog)
	child.begin(l)
	standard, cancel := context.WithCancel(l)
	t.Cleanup(cancel)
	deeper, stop := context.WithTimeout(context.WithValue(child, errTotal, 1), time.Hour)
	t.Cleanup(stop)
	return map[string]context.Context{"itself": l, "child": child, "standard": standard, "deeper": deeper}
}

func TestLifetime_EndsWhatFollows(t *testing.T) {
	errLeft := errors.New("left")
	ends := map[string]struct {
		do  func(l *lifetime, leave context.CancelCauseFunc)
		why error
		as  error
	}{
		"by its owner":    {func(l *lifetime, _ context.CancelCauseFunc) { l.end(errIdle); l.end(errTotal) }, errIdle, context.Canceled},
		"by its parent":   {func(_ *lifetime, leave context.CancelCauseFunc) { leave(errLeft) }, errLeft, nil},
		"when time is up": {func(l *lifetime, _ context.CancelCauseFunc) { l.alarm(time.Minute, func() { l.end(errTotal) }) }, errTotal, context.DeadlineExceeded},
		"at its deadline": {func(l *lifetime, _ context.CancelCauseFunc) { l.deadline = time.Now().Add(time.Minute) }, errTotal, context.DeadlineExceeded},
		"when it was moved": {func(l *lifetime, _ context.CancelCauseFunc) {
			l.alarm(time.Hour, func() { l.end(errTotal) })
			l.again(time.Minute)
		}, errTotal, context.DeadlineExceeded},
	}
	for name, end := range ends {
		for _, waits := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, leave := context.WithCancelCause(t.Context())
					defer leave(nil)
					var l lifetime
					if l.begin(parent); name == "at its deadline" {
						end.do(&l, leave)
					}
					all := below(t, &l)
					var called atomic.Int64
					for _, c := range all {
						if c.Err() != nil || context.Cause(c) != nil {
							t.Fatal("ended before the end")
						}
						if waits {
							go func() { <-c.Done(); called.Add(1) }()
						}
						context.AfterFunc(c, func() { called.Add(1) })
					}
					stop := l.AfterFunc(func() { t.Error("called after it was stopped") })
					if !stop() || stop() {
						t.Error("stop does not tell whether it stopped")
					}
					if name != "at its deadline" {
						end.do(&l, leave)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					for kind, c := range all {
						if <-c.Done(); context.Cause(c) != end.why || c.Err() == nil || end.as != nil && !errors.Is(c.Err(), end.as) {
							t.Errorf("%s: %v because of %v, want %v", kind, c.Err(), context.Cause(c), end.why)
						}
						context.AfterFunc(c, func() { called.Add(1) })
					}
					synctest.Wait()
					want := 2 * len(all)
					if waits {
						want += len(all)
					}
					if n := int(called.Load()); n != want {
						t.Errorf("%d of %d heard of it", n, want)
					}
				})
			})
		}
	}
}

// The parent's end is known at once, as that of a parent of package context.
func TestLifetime_KnowsOfItsParent(t *testing.T) {
	parent, leave := context.WithCancel(t.Context())
	var l, child, late lifetime
	l.begin(parent)
	child.begin(&l)
	leave()
	if child.Err() != context.Canceled { //nolint:errorlint // the very value
		t.Errorf("%v", child.Err())
	}
	late.begin(&l)
	if late.Err() == nil {
		t.Error("a child of what has ended lives")
	}
}

func TestLifetime_Deadline(t *testing.T) {
	now := time.Now()
	parent, cancel := context.WithDeadline(t.Context(), now.Add(time.Hour))
	defer cancel()
	for _, d := range []struct{ own, want time.Time }{
		{time.Time{}, now.Add(time.Hour)}, {now.Add(time.Minute), now.Add(time.Minute)}, {now.Add(2 * time.Hour), now.Add(time.Hour)},
	} {
		l := lifetime{deadline: d.own}
		l.begin(parent)
		if at, ok := l.Deadline(); !ok || !at.Equal(d.want) {
			t.Errorf("%v, want %v", at, d.want)
		}
		l.end(context.Canceled)
	}
}

// Without anybody who waits, the deadline needs no timer of its own.
func TestLifetime_DeadlineWithoutTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, other := lifetime{deadline: time.Now().Add(time.Minute)}, lifetime{deadline: time.Now().Add(time.Minute)}
		l.begin(t.Context())
		other.begin(t.Context())
		dog := newWatchdog(&l, time.Hour, time.Now())
		fed := newWatchdog(&l, 10*time.Second, time.Now())
		fed.feed(time.Hour, time.Now())
		time.Sleep(time.Minute - 1)
		if l.Err() != nil || dog.Err() != nil || fed.Err() != nil || l.timer != nil {
			t.Error("ended before the end, or a timer runs")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		for name, c := range map[string]context.Context{"request": &l, "attempt": dog, "with output": fed, "without attempts": &other} {
			if c.Err() != errTotal { //nolint:errorlint // the very value
				t.Errorf("%s: %v", name, c.Err())
			}
		}
	})
}

func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, idle time.Duration // 0 = no output
		after       time.Duration
		why         error
	}{
		{"no output", time.Minute, 0, time.Minute, errFirstOutput},
		{"silent for longer than before", time.Minute, time.Hour, time.Hour + time.Second, errIdle},
		{"silent for less than before", time.Hour, time.Minute, time.Minute + time.Second, errIdle},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l lifetime
				l.begin(t.Context())
				d := newWatchdog(&l, c.first, time.Now())
				if began := time.Now(); c.idle > 0 {
					time.Sleep(time.Second)
					d.feed(c.idle, time.Now())
					c.after -= time.Since(began)
				}
				time.Sleep(c.after - 1)
				if d.Err() != nil {
					t.Fatal("too early")
				}
				time.Sleep(time.Nanosecond)
				if synctest.Wait(); d.Err() != c.why || l.Err() != nil { //nolint:errorlint // the very value
					t.Errorf("%v, want %v; the request: %v", d.Err(), c.why, l.Err())
				}
				l.end(context.Canceled)
			})
		})
	}
}

// Nothing that ended is held on to by its parent.
func TestLifetime_Parts(t *testing.T) {
	var l lifetime
	l.begin(t.Context())
	for range 3 {
		var a, b lifetime
		a.begin(&l)
		b.begin(&l)
		stop := l.AfterFunc(func() { t.Error("called after it was stopped") })
		c, cancel := context.WithCancel(&l)
		a.end(context.Canceled)
		cancel()
		stop()
		b.end(context.Canceled)
		if <-c.Done(); l.first != nil {
			t.Fatal("somebody follows whom nobody knows")
		}
	}
	l.end(context.Canceled)
}

func TestLifetime_ManyAtOnce(t *testing.T) {
	for range 200 {
		parent, leave := context.WithCancel(t.Context())
		var l lifetime
		l.begin(parent)
		var wg sync.WaitGroup
		var heard atomic.Int64
		for i := range 8 {
			wg.Go(func() {
				d := newWatchdog(&l, time.Hour, time.Now())
				d.feed(time.Hour, time.Now())
				told := make(chan struct{})
				if stop := d.AfterFunc(func() { close(told) }); i%2 == 0 && stop() {
					close(told)
				}
				switch i {
				case 1:
					leave()
				case 3:
					l.end(errTotal)
				}
				<-told
				d.end(context.Canceled)
				heard.Add(1)
			})
		}
		wg.Wait()
		if leave(); l.Err() == nil || heard.Load() != 8 {
			t.Fatal("not all ended")
		}
	}
}
