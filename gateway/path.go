// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"regexp"
	"slices"
	"strings"
)

// versions are those of Gemini's API; OpenAI's and Anthropic's have the first, too.
var versions = []string{"v1", "v1beta", "v1alpha"}

// clean brings a path into the one form that the tables know: no empty segments, no
// trailing slash, one version, and that in front. SDKs given a base URL with
// or without slash or version build all of these:
//
//	/v1//models/                          → /v1/models
//	/v1beta/v1/models                     → /v1/models
//	/v1alpha/upload/v1beta/files          → /v1beta/upload/files
//	//ws/google.ai.….v1beta.….BidiX       → /v1beta/ws/BidiX
//
// Dot segments are left alone: they match nothing.
// Source: specs/native-anthropic.md A.0 and B.
func clean(path string) string {
	if strings.Contains(path, "//") || len(path) > 1 && strings.HasSuffix(path, "/") {
		parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
		path = "/" + strings.Join(parts, "/")
	}
	for range 4 {
		first, rest := segment(path)
		second, after := segment(rest)
		switch {
		case first == "anthropic" && second == "v1":
			if third, _ := segment(after); third == "v1" {
				path = "/anthropic" + after
				continue
			}
		case first == "ws":
			return live(path)
		case slices.Contains(versions, first) && (slices.Contains(versions, second) || second == "ws"):
			path = rest
			continue
		case slices.Contains(versions, first) && (second == "upload" || second == "download"):
			if third, _ := segment(after); slices.Contains(versions, third) {
				path = rest
				continue
			}
		case (first == "upload" || first == "download") && slices.Contains(versions, second):
			return "/" + second + "/" + first + after
		}
		return path
	}
	return path
}

// segment takes the first segment off a path.
func segment(path string) (first, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// live brings the path of a method of the Live API into the form of the others.
func live(path string) string {
	const service, suffix = "/ws/google.ai.generativelanguage.", "GenerativeService"
	method, ok := strings.CutPrefix(path, service)
	if !ok {
		return path
	}
	version, method, _ := strings.Cut(method, ".")
	name, method, dotted := strings.Cut(method, ".")
	if !dotted {
		name, method, dotted = strings.Cut(name, "/") // the form of gRPC
	}
	if !dotted || name != suffix || !slices.Contains(versions, version) {
		return path
	}
	return "/" + version + "/ws/" + method
}

// objectID is what ids of our own look like.
var objectID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
