// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// liveSetup is the first frame of a session: {"setup": {"model": "models/…",
// "sessionResumption": {"handle": "…"}, …}}.
type liveSetup struct {
	kind   websocket.MessageType
	frame  []byte      // as Google may see it; see refer
	from   int         // frame[from:to] is the model's JSON string; both 0 for none
	to     int         //
	model  string      // as the client said it, without "models/"
	named  string      // … as the frame has it
	handle string      // of the session to go on with; "" for a new one
	watch  clientWatch // reads along with the messages that follow, too
}

// firstFrame reads the setup.
func (l *liveSession) firstFrame() (frame []byte, kind websocket.MessageType, f *translate.Failure) {
	l.client.conn.SetReadLimit(maxLiveSetup)
	timer := time.AfterFunc(liveSetupWait, l.client.force)
	kind, frame, err := l.client.conn.Read(background)
	late := !timer.Stop()
	l.client.conn.SetReadLimit(maxLiveMessage)
	switch {
	case err == nil:
		return frame, kind, nil
	case errors.Is(err, websocket.ErrMessageTooBig):
		return nil, 0, &translate.Failure{Kind: translate.TooLarge, Message: "The setup is larger than 1 MiB."}
	case late:
		return nil, 0, &translate.Failure{Kind: translate.Canceled, Message: "No setup came within 10 seconds."}
	default:
		return nil, 0, &translate.Failure{Kind: translate.Canceled, Message: "The client left before its setup."}
	}
}

// parseLiveSetup reads the parts of a setup that decide who serves it. The rest is
// Google's to judge.
func parseLiveSetup(frame []byte, kind websocket.MessageType) (*liveSetup, *translate.Failure) {
	invalid := func(text string) (*liveSetup, *translate.Failure) {
		return nil, &translate.Failure{Kind: translate.InvalidRequest, Message: text}
	}
	if v, err := rawjson.Parse(frame); err != nil {
		return invalid("Invalid JSON payload received. " + err.Error())
	} else if v.Get("setup").Kind() != rawjson.Object {
		return invalid("The first message must be a setup: {\"setup\": {\"model\": \"models/…\"}}.")
	}
	s := &liveSetup{kind: kind, frame: frame}
	watch := &s.watch
	scan := jsonScan{watch: watch}
	scan.write(frame)
	switch {
	case watch.setups != 1 || watch.models > 1 || watch.handles > 1:
		return invalid("The setup names a member twice.")
	case watch.tooMuch:
		return invalid("The setup has a model, handle or file that is too long.")
	case watch.models == 1 && watch.model.Kind() != rawjson.String:
		return invalid("setup.model must be a string.")
	}
	s.handle = watch.handle
	s.locate(watch)
	s.model = s.named
	watch.files = nil
	return s, nil
}

// locate takes from watch where the frame names the model.
func (s *liveSetup) locate(watch *clientWatch) {
	if watch.models == 1 {
		s.named = strings.TrimPrefix(watch.model.Text(), "models/")
		s.from, s.to = watch.modelAt-len(watch.model), watch.modelAt
	}
}

// refer binds the session to the project of what the setup names, such as files,
// and puts in what the names are at Google.
func (s *liveSetup) refer(x *exchange) *translate.Failure {
	x.body = s.frame
	_, f := x.mentioned()
	s.frame, x.body = x.body, nil
	if f != nil {
		return f
	}
	watch := &clientWatch{}
	scan := jsonScan{watch: watch}
	scan.write(s.frame)
	s.locate(watch)
	return nil
}

// with is the frame for a model: as it came, unless the name was an alias.
func (s *liveSetup) with(model string) []byte {
	if model == s.model && model == s.named {
		return s.frame
	}
	frame := make([]byte, 0, len(s.frame)+len(model))
	frame = append(frame, s.frame[:s.from]...)
	frame = rawjson.AppendQuoted(frame, "models/"+model)
	return append(frame, s.frame[s.to:]...)
}
