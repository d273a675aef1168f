// SPDX-License-Identifier: Apache-2.0

package usage

// bounds limit the names in each map of sums; further names are counted as
// [Other]. They keep the memory in hand when a client invents model names.
type bounds struct {
	models, keys, users int
}

// Worst case, at about 100 bytes a name: 60 minutes, 25 hours and one total make
// 13, 11 and 1 MB. In practice a minute has few names.
var (
	minuteBounds = bounds{models: 100, keys: 1000, users: 1000}
	hourBounds   = bounds{models: 200, keys: 2000, users: 2000}
	allBounds    = bounds{models: 500, keys: 5000, users: 5000} // 1.6 MB of JSON, below store.MaxBatchBytes
)

// maxOutcomes bounds the outcomes, which are our own words.
const maxOutcomes = 64

// sums are the counts of a span of time.
type sums struct {
	Counts
	Outcomes map[string]Counts `json:"outcomes,omitempty"`
	Models   map[string]Counts `json:"models,omitempty"`
	Keys     map[string]Counts `json:"keys,omitempty"`
	Users    map[string]Counts `json:"users,omitempty"`
}

// record adds one request.
func (s *sums) record(r *Record, c Counts, b bounds) {
	s.add(c)
	addName(&s.Outcomes, r.Outcome, c, maxOutcomes)
	addName(&s.Models, r.Model, c, b.models)
	addName(&s.Keys, r.KeyID, c, b.keys)
	addName(&s.Users, r.UserID, c, b.users)
}

// merge adds all of another span.
func (s *sums) merge(o *sums, b bounds) {
	s.add(o.Counts)
	for _, m := range []struct {
		to    *map[string]Counts
		from  map[string]Counts
		bound int
	}{
		{&s.Outcomes, o.Outcomes, maxOutcomes},
		{&s.Models, o.Models, b.models},
		{&s.Keys, o.Keys, b.keys},
		{&s.Users, o.Users, b.users},
	} {
		for name, c := range m.from {
			addName(m.to, name, c, m.bound)
		}
	}
}

// addName adds to the count of one name; no name counts nowhere.
func addName(m *map[string]Counts, name string, c Counts, bound int) {
	if name == "" {
		return
	}
	if *m == nil {
		*m = map[string]Counts{}
	}
	sum, known := (*m)[name]
	if !known && len(*m) >= bound {
		name = Other
		sum = (*m)[name]
	}
	sum.add(c)
	(*m)[name] = sum
}
