// SPDX-License-Identifier: Apache-2.0

package fakegemini

// Rate is what tokens of a model cost, in nano-USD for one. Thoughts cost as output
// does, what built-in tools find as input.
type Rate struct {
	Input, Cached, Output int64
	Image                 int64 // of output that is an image; 0 = as Output
}

// Charge is what an answer was charged, by the usageMetadata that was sent last. An
// answer that told none is not charged. The tokens are those of usageMetadata.
type Charge struct {
	Told                                    bool
	Prompt, Cached, Output, Thoughts, Tools int64
	Nano                                    int64 // by Config.Rates
	Priced                                  bool  // the model has a rate
}

// Plus is the sum of two charges.
func (c Charge) Plus(d Charge) Charge {
	return Charge{
		c.Told || d.Told, c.Prompt + d.Prompt, c.Cached + d.Cached, c.Output + d.Output, c.Thoughts + d.Thoughts, c.Tools + d.Tools,
		c.Nano + d.Nano, c.Priced && d.Priced,
	}
}

// bill books what an answer tells of its usage, in place of what it told before. It is
// called before the answer is sent: whoever has it was charged.
func (x *exchange) bill(usage object) {
	count := func(name string) int64 {
		n, _ := usage[name].(int64) // what is missing is 0
		return n
	}
	c := Charge{
		Told: true, Prompt: count("promptTokenCount"), Cached: count("cachedContentTokenCount"), Output: count("candidatesTokenCount"),
		Thoughts: count("thoughtsTokenCount"), Tools: count("toolUsePromptTokenCount"),
	}
	rate, priced := x.s.cfg.Rates[x.model.base()]
	if image := usage["candidatesTokensDetails"]; priced && rate.Image > 0 && image != nil && image.([]object)[0]["modality"] == "IMAGE" {
		rate.Output = rate.Image
	}
	c.Priced = priced
	c.Nano = (c.Prompt-c.Cached+c.Tools)*rate.Input + c.Cached*rate.Cached + c.Output*rate.Output + c.Thoughts*rate.Output
	x.s.books.update(func() { x.e.Charge = c })
}
