// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClosing: when sessions are told to end, and when they hear of it.
func TestClosing(t *testing.T) {
	for name, tc := range map[string]struct {
		delay      time.Duration
		act        func(c *closing)
		soon, done time.Duration
	}{
		"reload":                {15 * time.Minute, func(c *closing) { c.begin(false) }, 15*time.Minute - closeNotice, 15 * time.Minute},
		"twice":                 {time.Minute, func(c *closing) { c.begin(false); time.Sleep(30 * time.Second); c.begin(false) }, 50 * time.Second, time.Minute},
		"a short delay":         {4 * time.Second, func(c *closing) { c.begin(false) }, 0, 4 * time.Second},
		"no delay":              {0, func(c *closing) { c.begin(false) }, 0, 0},
		"exit":                  {15 * time.Minute, func(c *closing) { c.begin(true) }, 0, 0},
		"exit after a reload":   {time.Minute, func(c *closing) { c.begin(false); time.Sleep(30 * time.Second); c.end() }, 30 * time.Second, 30 * time.Second},
		"exit while they leave": {time.Minute, func(c *closing) { c.begin(false); time.Sleep(55 * time.Second); c.end(); c.end() }, 50 * time.Second, 55 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, began := newClosing(tc.delay), time.Now()
				go tc.act(c)
				<-c.soon
				if got := time.Since(began); got != tc.soon {
					t.Errorf("they hear of it after %v, want %v", got, tc.soon)
				}
				<-c.done
				if got := time.Since(began); got != tc.done {
					t.Errorf("they end after %v, want %v", got, tc.done)
				}
			})
		})
	}
}
