// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// removeEmptyLogs removes log files without a byte. A process that is killed
// right after it made one leaves it behind, and Badger 4.9.6 then refuses to
// open: it takes its own "new file" for an error. A running process has such a
// file for a moment too, so nothing is touched unless the directory is free.
func removeEmptyLogs(dir string) error {
	unlock, free := lockDir(dir)
	if !free {
		return nil // Badger will say so
	}
	defer unlock()
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		logs, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range logs {
			info, err := os.Stat(name)
			if err == nil && info.Size() == 0 {
				err = os.Remove(name)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
