// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// run answers the messages after the setup.
func (l *liveSession) run() {
	for {
		_, frame, err := l.conn.Read(l.ctx)
		if err != nil {
			l.x.s.books.update(func() { l.x.e.Note = "left: " + websocket.CloseStatus(err).String() })
			return
		}
		doc, err := rawjson.Parse(frame)
		if err != nil {
			l.refuse(failure(400, "Invalid JSON payload received. "+err.Error()))
			return
		}
		ok := true
		switch {
		case l.x.e.Method == musicMethod:
			ok = l.music(doc)
		case get(doc, "clientContent") != nil:
			ok = l.content(get(doc, "clientContent"))
		case get(doc, "realtimeInput") != nil:
			if text := get(get(doc, "realtimeInput"), "text"); text != nil {
				ok = l.turn(text.Text())
			}
		case get(doc, "toolResponse") != nil:
			ok = l.answer("The tool says " + string(get(get(doc, "toolResponse"), "functionResponses")))
		default:
			l.refuse(failure(400, "Request contains an invalid argument."))
			return
		}
		if !ok {
			return
		}
	}
}

// music takes a message of a music session. To play is three pieces of sound here.
func (l *liveSession) music(doc rawjson.Value) bool {
	content, config, control := get(doc, "clientContent"), get(doc, "musicGenerationConfig"), get(doc, "playbackControl")
	switch {
	case get(content, "weightedPrompts") != nil, config != nil, control != nil && control.Text() != "PLAY":
		return true
	case control == nil:
		l.refuse(failure(400, "Request contains an invalid argument."))
		return false
	}
	for i := range 3 {
		chunk := object{"mimeType": "audio/l16;rate=48000;channels=2", "data": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(i)}, 3000))}
		if !l.send(object{"serverContent": object{"audioChunks": []object{chunk}}}) {
			return false
		}
	}
	return true
}

// content takes a clientContent, which may be one of several before the turn's end.
func (l *liveSession) content(c rawjson.Value) bool {
	var text strings.Builder
	for _, turn := range get(c, "turns").Elems() {
		for _, part := range get(turn, "parts").Elems() {
			text.WriteString(get(part, "text").Text())
		}
	}
	if !get(c, "turnComplete").IsTrue() {
		l.kept.turns = append(l.kept.turns, text.String())
		return true
	}
	return l.turn(text.String())
}

// turn does what a text says, and answers it.
func (l *liveSession) turn(text string) bool {
	l.x.s.books.update(func() { l.x.e.Prompt = strings.Clone(text[:min(len(text), 32)]) })
	for _, m := range directive.FindAllStringSubmatch(text, -1) {
		word, arg := m[1], m[2]
		switch word {
		case "goaway":
			if !l.send(object{"goAway": object{"timeLeft": arg}}) {
				return false
			}
		case "close":
			code, reason, _ := strings.Cut(arg, " ")
			n, _ := strconv.Atoi(code) // of tests, which know it
			l.close(websocket.StatusCode(n), reason)
			return false
		case "cut":
			_ = l.conn.CloseNow() // broken on purpose
			return false
		case "audio":
			n, _ := strconv.Atoi(arg)
			if !l.speak(n) {
				return false
			}
		case "call":
			return l.send(object{"toolCall": object{"functionCalls": []object{{"id": l.x.id(len(l.kept.turns)), "name": arg, "args": object{}}}}})
		case "silent":
			return true
		case "deaf":
			<-l.ctx.Done()
			return false
		case "flood":
			for l.speak(1 << 20) {
			}
			return false
		}
	}
	return l.answer("You said: " + text)
}

// speak sends so many bytes of audio, which tell their place.
func (l *liveSession) speak(n int) bool {
	sound := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
	return l.send(object{"serverContent": object{"modelTurn": object{"parts": []object{{"inlineData": object{
		"mimeType": "audio/pcm;rate=24000", "data": base64.StdEncoding.EncodeToString(sound),
	}}}}}})
}

// answer is a turn of the model: content, its end with the usage so far, and a new
// handle. Each turn is billed all of the session.
func (l *liveSession) answer(text string) bool {
	k := l.kept
	prompt, response := k.tokens+tokensOf(len(text)), int64(len(text))
	k.turns, k.tokens = append(k.turns, text), prompt+response
	part := object{"text": text + " (turn " + strconv.Itoa(len(k.turns)) + ")"}
	if l.audio {
		part = object{"inlineData": object{"mimeType": "audio/pcm;rate=24000", "data": base64.StdEncoding.EncodeToString([]byte(text))}}
	}
	usage := func(response int64) object {
		return object{"promptTokenCount": prompt, "responseTokenCount": response, "totalTokenCount": prompt + response}
	}
	return l.send(object{"serverContent": object{"modelTurn": object{"parts": []object{part}}}, "usageMetadata": usage(response / 2)}) &&
		l.send(object{"serverContent": object{"generationComplete": true}}) &&
		l.send(object{"serverContent": object{"turnComplete": true}, "usageMetadata": usage(response)}) &&
		l.newHandle()
}
