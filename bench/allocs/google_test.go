// SPDX-License-Identifier: Apache-2.0

//go:build !race

package allocs

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
)

const words = "The quick brown fox jumps over the lazy dog. "

const used = `"usageMetadata":{"promptTokenCount":180,"candidatesTokenCount":80,"totalTokenCount":260,"promptTokensDetails":[{"modality":"TEXT","tokenCount":180}]},"modelVersion":"gemini-3-flash-preview","responseId":"b36LaY3KGr2jnsEP"}`

// answer is a whole one of Google's, event one of a stream, last the one that ends it.
func answer() string {
	return `{"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat(words, 8) + `"}],"role":"model"},"finishReason":"STOP","index":0}],` + used
}

func event(last bool) string {
	finish := ""
	if last {
		finish = `"finishReason":"STOP",`
	}
	return `{"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat(words, 4) + `"}],"role":"model"},` + finish + `"index":0}],` + used
}

// google answers requests with prepared bytes, and allocates nothing for one.
type google struct {
	whole, stream, vector []byte
}

// vector is the answer to an embedding.
func vector() string {
	return `{"embeddings":[{"values":[` + strings.Repeat("0.0123456789,", 767) + `0.01]}],"usageMetadata":{"promptTokenCount":9}}`
}

// events is how many a streamed answer has.
const events = 50

func startGoogle(t testing.TB) (url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var g google
	whole := func(body string) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	g.whole, g.vector = whole(answer()), whole(vector())
	g.stream = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range events {
		data := "data: " + event(i == events-1) + "\r\n\r\n"
		g.stream = fmt.Appendf(g.stream, "%x\r\n%s\r\n", len(data), data)
	}
	g.stream = append(g.stream, "0\r\n\r\n"...)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go g.serve(conn)
		}
	}()
	return "http://" + listener.Addr().String()
}

func (g *google) serve(conn net.Conn) {
	defer conn.Close()
	buf, have := make([]byte, 2<<20), 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		head := bytes.Index(buf[:have], []byte("\r\n\r\n"))
		if head < 0 || have < head+4+length(buf[:head]) {
			continue
		}
		have = 0
		reply := g.whole
		switch {
		case bytes.Contains(buf[:head], []byte(":streamGenerateContent")):
			reply = g.stream
		case bytes.Contains(buf[:head], []byte(":embedContent")), bytes.Contains(buf[:head], []byte(":batchEmbedContents")):
			reply = g.vector
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

// length is the Content-Length that a header names.
func length(head []byte) int {
	_, rest, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
	number, _, _ := bytes.Cut(rest, []byte("\r"))
	n, _ := strconv.Atoi(string(number))
	return n
}
