// SPDX-License-Identifier: Apache-2.0

package rawjson

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestValue_Float: the short way reads every number as strconv does, to the last bit.
func TestValue_Float(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "0.0", "-0.036084392", "1", "-1", "123456789012345", "1234567890123456", "9007199254740993", "0.1234567890123", "0.12345678901234", "0.123456789012345",
		"1e3", "-1.5E-7", "1e400", "99999999999999.9", "999999999999999.9", "0.000000000000001", "123456789.123456",
	} {
		sameFloat(t, text)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		text := strconv.FormatFloat((r.Float64()*2-1)*math.Pow10(r.IntN(12)-4), 'f', r.IntN(16), 64)
		sameFloat(t, text)
	}
	for _, text := range []string{"", "-", "null", `"1"`, "[1]", "true"} {
		if f, ok := Value(text).Float(); ok {
			t.Errorf("%q is %v", text, f)
		}
	}
}

func sameFloat(t *testing.T, text string) {
	t.Helper()
	want, err := strconv.ParseFloat(text, 64)
	got, ok := Value(text).Float()
	if ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("%s is %v, %v; want %v, %v", text, got, ok, want, err)
	}
}

func BenchmarkFloat(b *testing.B) {
	var list []Value
	for i := range 768 {
		list = append(list, Value(fmt.Sprintf("-0.0%d", 36084392+i)))
	}
	b.SetBytes(int64(len(strings.Repeat("-0.036084392", 768))))
	for b.Loop() {
		for _, v := range list {
			_, _ = v.Float()
		}
	}
}
