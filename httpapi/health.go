package httpapi

import (
	"io"
	"net/http"
)

// livez answers as long as the process does. It looks at nothing: a node without a quorum is not helped by a restart.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { writeOK(w) }

// readyz answers 200 when requests sent here would be served, else 503 with the reason.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.config.Ready(); err != nil {
		writeProblem(w, refuse(http.StatusServiceUnavailable, "%v", err))
		return
	}
	writeOK(w)
}

func writeOK(w http.ResponseWriter) {
	header(w, "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n") // nothing to do about a reader who left
}
