// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Catalog remembers what Google's lists said of models, whoever asked for them. All
// sites share one; it is in memory and begins anew with the process. Safe for
// concurrent use. The zero value is ready.
type Catalog struct {
	mu     sync.Mutex
	models map[string]ModelInfo
}

// ModelInfo is what a list says of a model.
type ModelInfo struct {
	ID        string   // without "models/"
	InputMax  int64    // tokens; 0 = not said
	OutputMax int64    // tokens; 0 = not said
	Methods   []string // such as generateContent
	At        time.Time
}

// maxCatalog bounds the models that are remembered; Google has some sixty.
const maxCatalog = 5000

// Learn reads a list of models, or one, as Google sends it. What is neither says
// nothing. It returns the ids.
func (c *Catalog) Learn(body []byte, now time.Time) (ids []string) {
	doc, err := rawjson.Parse(body)
	if c == nil || err != nil {
		return nil
	}
	list := []rawjson.Value{doc}
	if models := doc.Get("models"); models.Kind() == rawjson.Array {
		list = list[:0]
		for _, m := range models.Elems() {
			list = append(list, m)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.models == nil {
		c.models = map[string]ModelInfo{}
	}
	for _, m := range list {
		id, named := strings.CutPrefix(m.Get("name").Text(), "models/")
		if !named || id == "" || len(id) > 128 || len(c.models) >= maxCatalog {
			continue
		}
		info := ModelInfo{ID: strings.Clone(id), At: now}
		info.InputMax, _ = m.Get("inputTokenLimit").Int()
		info.OutputMax, _ = m.Get("outputTokenLimit").Int()
		for _, method := range m.Get("supportedGenerationMethods").Elems() {
			info.Methods = append(info.Methods, strings.Clone(method.Text()))
		}
		c.models[id] = info
		ids = append(ids, info.ID)
	}
	return ids
}

// All are the models, by id.
func (c *Catalog) All() []ModelInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.models), func(a, b ModelInfo) int { return strings.Compare(a.ID, b.ID) })
}
