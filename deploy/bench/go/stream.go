package main

import (
	"strings"
	"sync"
	"time"
)

// streamWriter publishes the pieces of one answer, each token at once or, with gather, what came within that time.
type streamWriter struct {
	h       *handler
	subject string
	chunk   ChatStreamChunk

	// The rest is used with gather only; the timer's goroutine shares it.
	mu      sync.Mutex
	pending strings.Builder
	timer   *time.Timer
	last    time.Time
}

func (h *handler) newStreamWriter(requestID string) *streamWriter {
	return &streamWriter{
		h:       h,
		subject: "ai.chat.response.stream." + requestID,
		chunk:   ChatStreamChunk{RequestID: requestID, Type: "chunk"},
	}
}

func (w *streamWriter) write(content string) {
	if w.h.gather <= 0 {
		w.publish(content)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending.WriteString(content)
	// The first piece goes at once, later ones when the last is old enough.
	if wait := w.h.gather - time.Since(w.last); wait <= 0 {
		w.flush()
	} else if w.timer == nil {
		w.timer = time.AfterFunc(wait, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.flush()
		})
	}
}

func (w *streamWriter) flush() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	if w.pending.Len() > 0 {
		w.publish(w.pending.String())
		w.pending.Reset()
		w.last = time.Now()
	}
}

func (w *streamWriter) publish(content string) {
	w.chunk.Content, w.chunk.Timestamp = content, time.Now().Unix()
	w.h.publish(w.subject, &w.chunk)
	w.chunk.Sequence++
}

func (w *streamWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	w.chunk.Type, w.chunk.Content, w.chunk.Done = "done", "", true
	w.h.publish(w.subject, &w.chunk)
}
