// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"net/http"
)

func (a *api) listJobs(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	limit, offset := q.limit(), q.offset()
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	all := a.jobs.list()
	return http.StatusOK, newList(pageOf(all, offset, limit), len(all), offset), nil
}

// pageOf is a page of a list.
func pageOf[T any](all []T, offset, limit int) []T {
	all = all[min(offset, len(all)):]
	return all[:min(limit, len(all))]
}

func (a *api) getJob(c *call) (status int, body any, err error) {
	j, err := a.jobs.get(c.id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, j.view(), nil
}

func (a *api) closeJob(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := a.jobs.remove(c.id); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func (a *api) cancelJob(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	j, err := a.jobs.cancelled(c.id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, j.view(), nil
}

// jobResults answers the lines of a job: a page of them as JSON, or all of them as
// a file.
func (a *api) jobResults(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	format := q.word("format", []string{"json", "csv", "ndjson"})
	limit, offset := q.limit(), q.offset()
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	j, err := a.jobs.get(c.id)
	if err != nil {
		return 0, nil, err
	}
	j.mu.Lock()
	lines := j.results // lines are added, never changed
	j.mu.Unlock()
	if format == "" || format == "json" {
		return http.StatusOK, newList(pageOf(lines, offset, limit), len(lines), offset), nil
	}
	if c.query.Has("limit") {
		lines = pageOf(lines, offset, limit)
	} else {
		lines = pageOf(lines, offset, len(lines))
	}
	return http.StatusOK, fileOf(format, "results-"+j.id, columnsOf(lines), func(write func(json.RawMessage) error) error {
		for _, line := range lines {
			if err := write(line); err != nil {
				return err
			}
		}
		return nil
	}), nil
}
