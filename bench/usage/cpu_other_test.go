// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package usage_test

import "time"

func cpuTime() time.Duration    { return 0 }
func threadTime() time.Duration { return 0 }
