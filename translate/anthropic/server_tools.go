// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// native takes over a part of one of Google's own tools. Google wants it back, which
// the envelope of a later thinking block does. Code is shown, too: as blocks where
// the client declared the tool, else as text.
func (x *Messages) native(dst []byte, p *gemini.Part) []byte {
	if x.plan.thinking && (p.ServerToolKey != "" || x.plan.code != nil) {
		x.pending = append(x.pending, clone(p))
	}
	switch {
	case p.ServerToolKey != "":
		if x.sources != nil {
			x.sources.called(p.ServerTool)
		}
		return dst
	case x.plan.code == nil:
		return x.aside(dst, fenced(p))
	case p.ExecutableCode != nil:
		return x.ranCode(dst, p.ExecutableCode)
	default:
		return x.codeResult(dst, p.CodeResult)
	}
}

// clone returns a part that does not alias the document.
func clone(p *gemini.Part) gemini.Part {
	return gemini.DecodePart(rawjson.Compact(nil, p.Append(nil)))
}

// ranCode appends the block of code that Google ran.
func (x *Messages) ranCode(dst []byte, code rawjson.Value) []byte {
	x.output = true
	dst = x.closeAll(x.begin(dst))
	x.codeID = x.serverCallID()
	input := append([]byte(`{"code":"`), code.Get("code").Inner()...)
	return x.blocks.call(dst, "server_tool_use", x.codeID, x.plan.code.name, append(input, '"', '}'))
}

// codeResult appends the block of what came of it.
func (x *Messages) codeResult(dst []byte, result rawjson.Value) []byte {
	if x.codeID == "" { // of no code, which no block may be
		return x.aside(dst, fenced(&gemini.Part{CodeResult: result}))
	}
	x.output = true
	dst = x.closeAll(x.begin(dst))
	block := append([]byte(`{"type":"code_execution_tool_result","tool_use_id":"`), x.codeID...)
	output := result.Get("output").Inner() // absent when empty
	switch outcome := result.Get("outcome"); {
	case outcome.Is("OUTCOME_DEADLINE_EXCEEDED"):
		block = append(block, `","content":{"type":"code_execution_tool_result_error","error_code":"execution_time_exceeded"}}`...)
	case outcome.Is("OUTCOME_FAILED"):
		block = append(block, `","content":{"type":"code_execution_result","stdout":"","stderr":"`...)
		block = append(append(block, output...), `","return_code":1,"content":[]}}`...)
	default:
		block = append(block, `","content":{"type":"code_execution_result","stdout":"`...)
		block = append(append(block, output...), `","stderr":"","return_code":0,"content":[]}}`...)
	}
	x.codeID = ""
	return x.blocks.whole(dst, block)
}

func (x *Messages) serverCallID() string { return "srvtoolu_" + x.env.NewID(22) }

// fenced is code or its output as text, encoded.
func fenced(p *gemini.Part) []byte {
	if p.ExecutableCode != nil {
		language := bytes.ToLower(p.ExecutableCode.Get("language").Inner())
		return concat("\\n```", language, "\\n", p.ExecutableCode.Get("code").Inner(), "\\n```\\n")
	}
	return concat("\\n```", nil, "\\n", p.CodeResult.Get("output").Inner(), "\\n```\\n")
}

// fetched appends the blocks of the pages that Google fetched. It does not tell what
// was in them.
func (x *Messages) fetched(dst []byte, pages []fetchedPage) []byte {
	for _, page := range pages {
		id := x.serverCallID()
		input := append(append([]byte(`{"url":"`), page.url...), '"', '}')
		dst = x.blocks.call(dst, "server_tool_use", id, x.plan.fetch.name, input)
		block := append([]byte(`{"type":"web_fetch_tool_result","tool_use_id":"`), id...)
		if page.failed {
			block = append(block, `","content":{"type":"web_fetch_tool_result_error","error_code":"url_not_accessible"}}`...)
		} else {
			block = append(block, `","content":{"type":"web_fetch_result","url":"`...)
			block = append(append(block, page.url...), `","retrieved_at":null,"content":{"type":"document","title":null,"citations":null,`...)
			block = append(block, `"source":{"type":"text","media_type":"text/plain","data":""}}}}`...)
		}
		dst = x.blocks.whole(dst, block)
	}
	x.served.fetches += len(pages)
	return dst
}

// searched appends the blocks of the searches that Google made. It does not tell
// which of them found what: all results stand with the first.
func (x *Messages) searched(dst []byte, queries []string, found []source) []byte {
	for i, q := range queries {
		id := x.serverCallID()
		input := append(append([]byte(`{"query":"`), q...), '"', '}')
		dst = x.blocks.call(dst, "server_tool_use", id, x.plan.search.name, input)
		block := append([]byte(`{"type":"web_search_tool_result","tool_use_id":"`), id...)
		block = append(block, `","content":[`...)
		if i == 0 {
			for j, s := range found {
				if j > 0 {
					block = append(block, ',')
				}
				block = append(append(block, `{"type":"web_search_result","url":"`...), s.url...)
				block = append(append(block, `","title":"`...), s.title...)
				block = append(block, `","page_age":null,"encrypted_content":"`+opaque+`"}`...)
			}
		}
		dst = x.blocks.whole(dst, append(block, ']', '}'))
	}
	x.served.searches += len(queries)
	return dst
}

// opaque stands where clients expect what only the server can read.
const opaque = "gw1"

// domainAllowed reports whether a tool's lists let a domain through, itself or as a
// subdomain.
func (t *serverTool) domainAllowed(domain string) bool {
	in := func(d string) bool { return matchesDomain(domain, d) }
	return !slices.ContainsFunc(t.blocked, in) && (len(t.allowed) == 0 || slices.ContainsFunc(t.allowed, in))
}
