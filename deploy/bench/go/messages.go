package main

// ChatRequest is the question; the tags are the fleet's contract.
type ChatRequest struct {
	RequestID       string            `msgpack:"request_id"`
	UserID          string            `msgpack:"user_id"`
	Username        string            `msgpack:"username"`
	Message         string            `msgpack:"message"`
	Query           string            `msgpack:"query"`
	Premium         bool              `msgpack:"premium"`
	EnableRAG       bool              `msgpack:"enable_rag"`
	EnableReranker  bool              `msgpack:"enable_reranker"`
	EnableStreaming bool              `msgpack:"enable_streaming"`
	TopK            int               `msgpack:"top_k"`
	Collection      string            `msgpack:"collection"`
	EnableTTS       bool              `msgpack:"enable_tts"`
	SystemPrompt    string            `msgpack:"system_prompt"`
	ResponseSubject string            `msgpack:"response_subject"`
	SessionID       string            `msgpack:"session_id"`
	Language        string            `msgpack:"language"`
	RerankTopK      int               `msgpack:"rerank_top_k"`
	Metadata        map[string]string `msgpack:"metadata"`
}

// DocumentSource is a passage the answer rests on.
type DocumentSource struct {
	Text       string  `msgpack:"text" json:"text"`
	Score      float64 `msgpack:"score" json:"distance"`
	DocumentID string  `msgpack:"document_id" json:"document_id"`
	ChunkID    string  `msgpack:"chunk_id" json:"chunk_id"`
	Title      string  `msgpack:"title" json:"title"`
	SourceURL  string  `msgpack:"source_url" json:"source_url"`
	Position   int     `msgpack:"position" json:"position"`
	Page       int     `msgpack:"page" json:"page"`
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     int `msgpack:"prompt_tokens" json:"prompt_tokens"`
	CompletionTokens int `msgpack:"completion_tokens" json:"completion_tokens"`
	TotalTokens      int `msgpack:"total_tokens" json:"total_tokens"`
}

// ChatResponse is the final answer.
type ChatResponse struct {
	UserID       string             `msgpack:"user_id"`
	Response     string             `msgpack:"response"`
	ResponseText string             `msgpack:"response_text"`
	UsedRAG      bool               `msgpack:"used_rag"`
	RAGSources   []string           `msgpack:"rag_sources,omitempty"`
	Success      bool               `msgpack:"success"`
	Audio        []byte             `msgpack:"audio,omitempty"`
	Error        string             `msgpack:"error"`
	RequestID    string             `msgpack:"request_id"`
	Sources      []DocumentSource   `msgpack:"sources,omitempty"`
	Model        string             `msgpack:"model"`
	Usage        Usage              `msgpack:"usage"`
	LatencyMS    float64            `msgpack:"latency_ms"`
	TimingsMS    map[string]float64 `msgpack:"timings_ms,omitempty"`
	SessionID    string             `msgpack:"session_id"`
	AudioFormat  string             `msgpack:"audio_format"`
}

// ChatStreamChunk is a piece of a streamed answer.
type ChatStreamChunk struct {
	RequestID string `msgpack:"request_id"`
	Type      string `msgpack:"type"`
	Content   string `msgpack:"content"`
	Done      bool   `msgpack:"done"`
	Timestamp int64  `msgpack:"timestamp"`
	Sequence  int    `msgpack:"sequence"`
	ErrorType string `msgpack:"error_type"`
}
