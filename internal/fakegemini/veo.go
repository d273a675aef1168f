// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"strings"
)

// videoBytes is what the simulated videos have in them.
const videoBytes = "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom a simulated video"

// predictLongRunning starts to make a video. One whose prompt has "broken" in it
// fails in the end.
func (x *exchange) predictLongRunning() {
	e := x.e
	v, ok := x.body()
	if !ok {
		return
	}
	if a := x.findModel(e.Method); a.status != 0 {
		x.error(a)
		return
	}
	q := &request{body: v}
	var prompt string
	for _, one := range v.Get("instances").Elems() {
		prompt = one.Get("prompt").Text()
		for _, media := range []string{"image", "video", "lastFrame"} {
			if uri := get(one, media).Get("uri").Text(); uri != "" {
				q.files = append(q.files, uri)
			}
		}
	}
	x.steer.read(prompt)
	x.s.books.update(func() { e.Prompt, e.Tokens = strings.Clone(prompt[:min(len(prompt), 32)]), tokensOf(len(prompt)) })
	if x.faultBeforeQuota() {
		return
	}
	if v.Get("instances").Len() == 0 {
		x.error(failure(400, "* PredictLongRunningRequest.instances: instances is not specified\n"))
		return
	}
	if a := x.filesUsable(q); a.status != 0 {
		x.error(a)
		return
	}
	if a := x.charge(tokensOf(len(prompt))); a.status != 0 {
		x.error(a)
		return
	}
	n, ok := get(v.Get("parameters"), "sampleCount").Int()
	if !ok {
		n = 1
	}
	x.s.mu.Lock()
	name := "models/" + e.Model + "/operations/" + x.s.newID(12)
	x.s.mu.Unlock()
	project := e.Project
	x.json(pretty(x.begin(name, nil, func() (object, object) {
		if strings.Contains(prompt, "broken") {
			return nil, object{"code": 13, "message": "Video generation failed due to an internal server issue. Please try again in a few minutes."}
		}
		return x.s.videos(project, int(min(n, 4))), nil
	})))
}

// videos makes n of them. The caller holds s.mu.
func (s *Server) videos(project string, n int) object {
	var samples []object
	for range n {
		f := s.addGenerated(project, "files/"+s.newID(12), "video/mp4", []byte(videoBytes))
		samples = append(samples, object{"video": object{"uri": publicURL + "/v1beta/" + f.name + ":download?alt=media"}})
	}
	return object{
		"@type":                 "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
		"generateVideoResponse": object{"generatedSamples": samples},
	}
}

// predict makes pictures, all of them the same.
func (x *exchange) predict() {
	v, ok := x.body()
	if !ok {
		return
	}
	if a := x.findModel("predict"); a.status != 0 {
		x.error(a)
		return
	}
	var prompt string
	for _, one := range v.Get("instances").Elems() {
		prompt = one.Get("prompt").Text()
	}
	if x.steer.read(prompt); x.faultBeforeQuota() {
		return
	}
	if prompt == "" {
		x.error(failure(400, "* PredictRequest.instances: instances is not specified\n"))
		return
	}
	if a := x.charge(tokensOf(len(prompt))); a.status != 0 {
		x.error(a)
		return
	}
	n, ok := get(v.Get("parameters"), "sampleCount").Int()
	if !ok {
		n = 1
	}
	var list []object
	for range min(n, 4) {
		list = append(list, object{"mimeType": "image/png", "bytesBase64Encoded": onePixel})
	}
	x.json(pretty(object{"predictions": list}))
}

// addGenerated keeps what Google made. The caller holds s.mu.
func (s *Server) addGenerated(project, name, mime string, content []byte) *file {
	now := s.cfg.Now()
	f := &file{
		name: name, mime: cmp.Or(mime, "application/octet-stream"), project: project, size: int64(len(content)), created: now, ready: now,
		generated: true, content: content, sha256: sum(content),
	}
	s.files[ownedKey{project, name}] = f
	return f
}
