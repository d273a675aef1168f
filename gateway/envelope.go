// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// envelopes tags what answers give clients to keep and send back, so that only what
// was made here is taken for it. The data is the client's own and stays readable. A
// tag needs no nonce, of which a master key has 2³²; any gateway with this store's
// master key knows it.
// Source: specs/native-anthropic.md C.5.
type envelopes struct{ key []byte }

// envelopeTag is how many bytes of HMAC-SHA-256 stand before the data. Source:
// RFC 2104 §5: half the length is enough.
const envelopeTag = 16

func newEnvelopes(s *store.Sealer) *envelopes {
	return &envelopes{s.Derive("anthropic thinking signatures")}
}

func (e *envelopes) tag(data []byte) []byte {
	mac := hmac.New(sha256.New, e.key)
	mac.Write(data)
	return mac.Sum(nil)[:envelopeTag]
}

// seal implements anthropic.Options.Seal.
func (e *envelopes) seal(data []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(e.tag(data), data...))
}

// open implements anthropic.Options.Open.
func (e *envelopes) open(sealed string) (data []byte, ok bool) {
	all, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(all) < envelopeTag {
		return nil, false
	}
	data = all[envelopeTag:]
	return data, hmac.Equal(all[:envelopeTag], e.tag(data))
}
