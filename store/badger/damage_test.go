// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// damageDir names the environment variable that turns the test binary into the
// process that opens damaged stores: its value is the directory of whole ones.
const damageDir = "GB_DAMAGE_DIR"

// damagedPairs is how many pairs the whole stores have.
const damagedPairs = 3000

// damagedValue is the value under the i-th key. Those that are large lie in a file of
// their own.
func damagedValue(i int) []byte {
	size := 100 + i%200
	if i%1000 == 999 {
		size = 1_100_000
	}
	r := rand.New(rand.NewPCG(uint64(i), 7))
	b := make([]byte, size)
	for j := range b {
		b[j] = byte(r.Uint32())
	}
	return b
}

// TestDamage flips a bit at a time in each kind of file of a store, one that was
// closed and one that was not: a store opens, without what was hit at most, or says
// that it is damaged. No value is ever another than the one that was written, and no
// process dies.
func TestDamage(t *testing.T) {
	positions := 3
	if n, err := strconv.Atoi(os.Getenv("GB_DAMAGE")); err == nil {
		positions = n
	}
	dir := t.TempDir()
	makeDamageable(t, dir)
	cases := []string{"closed MANIFEST 0 -1", "killed MANIFEST 0 -1"} // not damaged
	for _, store := range []string{"closed", "killed"} {
		files, err := filepath.Glob(filepath.Join(dir, store, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"MANIFEST", ".sst", ".vlog", ".mem", "KEYREGISTRY"} {
			var of []string
			for _, f := range files {
				if strings.HasSuffix(f, kind) {
					of = append(of, f)
				}
			}
			if len(of) == 0 {
				continue
			}
			for range positions {
				f := of[rand.IntN(len(of))]
				data, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				n := records(data) // zeros after them are nobody's
				if n == 0 {
					continue
				}
				cases = append(cases, fmt.Sprintf("%s %s %d %d", store, filepath.Base(f), rand.IntN(n), rand.IntN(8)))
			}
		}
	}
	// Badger believes a block's count of entries before it looks at its checksum.
	cases = append(cases, "closed 000001.sst 355462 6")
	counts := map[string]int{}
	if n, died := openDamaged(t, dir, cases[:2], counts); n != 2 || died || counts["whole"] != 2 {
		t.Fatalf("what is not damaged: %v", counts)
	}
	for len(cases) > 0 {
		done, died := openDamaged(t, dir, cases, counts)
		if died {
			if done == len(cases) {
				t.Fatal("the process died at its end")
			}
			t.Errorf("the process died of %q", cases[done])
			done++
		}
		cases = cases[done:]
	}
	if counts["whole"]+counts["less"] == 0 || counts["error"] == 0 {
		t.Errorf("no damage was noticed, or no store opened: %v", counts)
	}
	t.Logf("what became of the stores: %v", counts)
}

// makeDamageable makes a store that was closed, and the files of one that was not.
func makeDamageable(t *testing.T, dir string) {
	t.Helper()
	closed := filepath.Join(dir, "closed")
	s := open(t, closed, nil)
	for i := 0; i < damagedPairs; i += 500 {
		var ops []store.Op
		for j := i; j < i+500; j++ {
			ops = append(ops, store.Op{Key: fmt.Sprintf("k/%05d", j), Value: damagedValue(j)})
			if j%1000 == 999 {
				if err := s.Write(store.Batch{Ops: ops[len(ops)-1:]}); err != nil {
					t.Fatal(err)
				}
				ops = ops[:len(ops)-1]
			}
		}
		if err := s.Write(store.Batch{Ops: ops, Sync: true}); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-a", "--sparse=always", closed+"/.", filepath.Join(dir, "killed")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %s", out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// openDamaged has a process of its own open damaged stores, and returns how many of
// them it has told of.
func openDamaged(t *testing.T, dir string, cases []string, counts map[string]int) (done int, died bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), damageDir+"="+dir)
	cmd.Stdin = strings.NewReader(strings.Join(cases, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || done >= len(cases) {
			continue
		}
		if word == "WRONG" {
			t.Errorf("%s: %s", cases[done], rest)
		}
		counts[word]++
		done++
	}
	if err != nil {
		t.Logf("%v: %.3000s", err, stderr.String())
	}
	return done, err != nil
}

// runDamage is the process that opens damaged stores: it reads where, and tells what
// became of each.
func runDamage(dir string) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var kind, file string
		var at, bit int
		if _, err := fmt.Sscan(lines.Text(), &kind, &file, &at, &bit); err != nil {
			panic(err)
		}
		fmt.Println(tryDamaged(filepath.Join(dir, kind), file, at, bit))
	}
}

func tryDamaged(whole, file string, at, bit int) string {
	dir, err := os.MkdirTemp("", "damage-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("cp", "-a", "--sparse=always", whole+"/.", dir).CombinedOutput(); err != nil {
		panic(string(out))
	}
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, int64(at)); err != nil {
		panic(err)
	}
	if bit >= 0 {
		b[0] ^= 1 << bit
	}
	if _, err := f.WriteAt(b, int64(at)); err != nil {
		panic(err)
	}
	f.Close()

	s, err := Open(dir, Options{})
	if err != nil {
		return "error " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	defer s.Close()
	found, wrong := 0, ""
	err = s.Scan("k/", "", func(key string, value []byte) bool {
		i, err := strconv.Atoi(key[2:])
		if err != nil || i >= damagedPairs || !bytes.Equal(value, damagedValue(i)) {
			wrong = fmt.Sprintf("%q has %d bytes that were not written: %.20x", key, len(value), value)
			return false
		}
		found++
		return true
	})
	for i := 0; i < damagedPairs && wrong == ""; i += 100 {
		value, getErr := s.Get(fmt.Sprintf("k/%05d", i))
		if getErr == nil && !bytes.Equal(value, damagedValue(i)) {
			wrong = fmt.Sprintf("%d has %d bytes that were not written: %.20x", i, len(value), value)
		}
	}
	switch {
	case wrong != "":
		return "WRONG " + wrong
	case err != nil:
		return "error " + strings.ReplaceAll(err.Error(), "\n", " ")
	case found < damagedPairs:
		return "less " + strconv.Itoa(found)
	}
	return "whole"
}
