// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"hash/fnv"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a simulated Google. It is an http.Handler; [Server.Start] and
// [Server.StartTLS] also put it on a loopback port. All methods are safe for
// concurrent use.
type Server struct {
	URL   string         // after Start: http://127.0.0.1:port
	Roots *x509.CertPool // after StartTLS: what a client has to trust

	cfg    Config
	models map[string]*Model
	order  []string // of the models list
	books  books
	served atomic.Int64
	quit   chan struct{} // closed by Close; ends hangs and silences
	once   sync.Once
	draws  draws
	http   *http.Server

	mu        sync.Mutex // guards what follows
	keys      map[string]*keyInfo
	projects  map[string]*Project
	meters    map[meterKey]*meter
	paid      map[string][]payment // by project
	prefixes  map[uint64]bool      // of conversations, by project
	files     map[ownedKey]*file
	uploads   map[string]*upload // by id
	scripts   []*script
	hold      *hold                  // that answers join now
	made      int                    // ids so far
	resources map[ownedKey]*resource // everything else that a project made
}

type keyInfo struct {
	state   KeyState
	slow    float64
	project string
	told    time.Time // when the client was first told that the key is dead
}

type meterKey struct{ project, model string }

// New makes a Server that listens nowhere yet.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Models == nil {
		c.Models = DefaultModels()
	}
	s := &Server{
		cfg: c, models: map[string]*Model{}, quit: make(chan struct{}),
		keys: map[string]*keyInfo{}, projects: map[string]*Project{}, meters: map[meterKey]*meter{}, paid: map[string][]payment{},
		hold:     &hold{release: make(chan struct{})},
		prefixes: map[uint64]bool{}, files: map[ownedKey]*file{}, resources: map[ownedKey]*resource{}, uploads: map[string]*upload{},
	}
	s.books.max = c.Entries
	for i := range c.Models {
		m := &c.Models[i]
		s.models[m.ID] = m
		s.order = append(s.order, m.ID)
	}
	for i := range c.Projects {
		p := c.Projects[i]
		s.projects[p.Name] = &p
	}
	for _, k := range c.Keys {
		s.AddKey(k)
	}
	return s
}

// AddKey adds a key, or changes the one with this secret.
func (s *Server) AddKey(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Project == "" {
		k.Project = "project-of-" + strconv.Itoa(len(s.keys)+1)
	}
	if s.projects[k.Project] == nil {
		s.projects[k.Project] = &Project{Name: k.Project}
	}
	s.keys[k.Secret] = &keyInfo{state: k.State, slow: k.Slow, project: k.Project}
}

// SetKeyState changes how a known key is answered from now on.
func (s *Server) SetKeyState(secret string, state KeyState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[secret]; k != nil {
		k.state, k.told = state, time.Time{}
	}
}

// SetKeySlow changes how many times as long a known key's answers take.
func (s *Server) SetKeySlow(secret string, factor float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[secret]; k != nil {
		k.slow = factor
	}
}

// SetLimits changes the limits of one model of a project.
func (s *Server) SetLimits(project, model string, l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projects[project]
	if p == nil {
		p = &Project{Name: project}
		s.projects[project] = p
	}
	limits := map[string]Limits{model: l}
	for m, old := range p.Limits {
		if m != model {
			limits[m] = old
		}
	}
	p.Limits = limits
}

// Requests is the number of requests served, in Lean mode too.
func (s *Server) Requests() int64 { return s.served.Load() }

// number is the consumer number of a project.
func (p *Project) number() string {
	if p.Number != "" {
		return p.Number
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.Name)) // a hash takes everything
	return strconv.FormatUint(100_000_000_000+h.Sum64()%900_000_000_000, 10)
}

// Start serves HTTP/1.1 on a free loopback port.
func (s *Server) Start() error { return s.start(nil) }

// StartTLS serves HTTPS with HTTP/2 and HTTP/1.1 on a free loopback port, with a
// certificate made for it; see Roots.
func (s *Server) StartTLS() error {
	cert, roots, err := certificate()
	if err != nil {
		return err
	}
	s.Roots = roots
	return s.start(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
}

func (s *Server) start(tlsConfig *tls.Config) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("the simulated Google found no loopback port: %w", err)
	}
	return s.Serve(l, tlsConfig)
}

// Serve serves on l, which it closes in the end; with TLS where tlsConfig is
// set. It returns at once.
func (s *Server) Serve(l net.Listener, tlsConfig *tls.Config) error {
	s.URL = "http://" + l.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second, TLSConfig: tlsConfig}
	serve := func() error { return s.http.Serve(l) }
	if tlsConfig != nil {
		s.URL = "https://" + l.Addr().String()
		serve = func() error { return s.http.ServeTLS(l, "", "") }
	}
	go func() {
		_ = serve() // returns ErrServerClosed in the end
	}()
	return nil
}

// Close ends all answers and stops listening.
func (s *Server) Close() {
	s.once.Do(func() { close(s.quit) })
	if s.http != nil {
		_ = s.http.Close() // nothing to save
	}
}

// certificate makes a self-signed one for the loopback addresses.
func certificate() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "simulated Google"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots, nil
}
