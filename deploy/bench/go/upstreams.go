package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
)

const (
	model             = "bench-model"
	defaultTopK       = 5
	defaultRerankTopK = 3
)

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type completionRequest struct {
	Model         string         `json:"model"`
	Messages      []chatMessage  `json:"messages"`
	MaxTokens     int            `json:"max_tokens"`
	Temperature   float64        `json:"temperature"`
	Stream        bool           `json:"stream"`
	StreamOptions *streamOptions `json:"stream_options,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type completionResponse struct {
	Model   string `json:"model"`
	Choices []struct {
		Message      chatMessage `json:"message"`
		Delta        chatMessage `json:"delta"`
		FinishReason string      `json:"finish_reason"`
	} `json:"choices"`
	Usage *Usage `json:"usage"`
}

type embeddingRequest struct {
	Model string   `json:"model"`
	Input []string `json:"input"`
}

type rerankRequest struct {
	Query string   `json:"query"`
	Texts []string `json:"texts"`
}

type subSearch struct {
	Data      []interface{} `json:"data"`
	AnnsField string        `json:"annsField"`
	Limit     int           `json:"limit"`
}

type searchRequest struct {
	CollectionName string      `json:"collectionName"`
	Search         []subSearch `json:"search"`
	Rerank         ranker      `json:"rerank"`
	Limit          int         `json:"limit"`
	OutputFields   []string    `json:"outputFields"`
}

type ranker struct {
	Strategy string             `json:"strategy"`
	Params   map[string]float64 `json:"params"`
}

type upstreams struct{ llm, embeddings, reranker, milvus string }

func (h *handler) embed(ctx context.Context, text string) (interface{}, error) {
	request := embeddingRequest{Model: model, Input: []string{text}}
	if h.rawVectors {
		var response struct {
			Data []struct {
				Embedding json.RawMessage `json:"embedding"`
			} `json:"data"`
		}
		if err := h.post(ctx, h.up.embeddings+"/v1/embeddings", request, &response); err != nil {
			return nil, err
		}
		if len(response.Data) != 1 {
			return nil, errors.New("no embedding")
		}
		return response.Data[0].Embedding, nil
	}
	var response struct {
		Data []struct {
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if err := h.post(ctx, h.up.embeddings+"/v1/embeddings", request, &response); err != nil {
		return nil, err
	}
	if len(response.Data) != 1 {
		return nil, errors.New("no embedding")
	}
	return response.Data[0].Embedding, nil
}

func (h *handler) search(ctx context.Context, request *ChatRequest, vector interface{}) ([]DocumentSource, error) {
	limit := request.TopK
	if limit == 0 {
		limit = defaultTopK
	}
	body := searchRequest{
		CollectionName: request.Collection,
		Search: []subSearch{
			{Data: []interface{}{vector}, AnnsField: "dense", Limit: limit},
			{Data: []interface{}{request.Message}, AnnsField: "sparse", Limit: limit},
		},
		Rerank:       ranker{Strategy: "rrf", Params: map[string]float64{"k": 60}},
		Limit:        limit,
		OutputFields: []string{"chunk_id", "document_id", "text", "title", "source_url", "position", "page"},
	}
	var response struct {
		Code    int              `json:"code"`
		Message string           `json:"message"`
		Data    []DocumentSource `json:"data"`
	}
	if err := h.post(ctx, h.up.milvus+"/v2/vectordb/entities/hybrid_search", body, &response); err != nil {
		return nil, err
	}
	if response.Code != 0 {
		return nil, fmt.Errorf("search: %d %s", response.Code, response.Message)
	}
	return response.Data, nil
}

func (h *handler) rerank(ctx context.Context, request *ChatRequest, hits []DocumentSource) ([]DocumentSource, error) {
	texts := make([]string, len(hits))
	for i := range hits {
		texts[i] = hits[i].Text
	}
	body := rerankRequest{Query: request.Message, Texts: texts}
	var scores []struct {
		Index int     `json:"index"`
		Score float64 `json:"score"`
	}
	if err := h.post(ctx, h.up.reranker+"/rerank", body, &scores); err != nil {
		return nil, err
	}
	for _, score := range scores {
		if score.Index < 0 || score.Index >= len(hits) {
			return nil, fmt.Errorf("rerank: index %d of %d", score.Index, len(hits))
		}
		hits[score.Index].Score = score.Score
	}
	sort.Slice(hits, func(i, j int) bool { return hits[i].Score > hits[j].Score })
	keep := request.RerankTopK
	if keep == 0 {
		keep = defaultRerankTopK
	}
	if keep < len(hits) {
		hits = hits[:keep]
	}
	return hits, nil
}

func (h *handler) complete(ctx context.Context, messages []chatMessage, answer *ChatResponse) error {
	body := completionRequest{Model: model, Messages: messages, MaxTokens: 1024, Temperature: 0.2}
	var response completionResponse
	if err := h.post(ctx, h.up.llm+"/v1/chat/completions", body, &response); err != nil {
		return err
	}
	if len(response.Choices) == 0 {
		return errors.New("no choices")
	}
	answer.ResponseText, answer.Model = response.Choices[0].Message.Content, response.Model
	if response.Usage != nil {
		answer.Usage = *response.Usage
	}
	return nil
}

func (h *handler) completeStream(ctx context.Context, request *ChatRequest, messages []chatMessage, answer *ChatResponse) error {
	body := completionRequest{
		Model: model, Messages: messages, MaxTokens: 1024, Temperature: 0.2,
		Stream: true, StreamOptions: &streamOptions{IncludeUsage: true},
	}
	response, err := h.open(ctx, h.up.llm+"/v1/chat/completions", body)
	if err != nil {
		return err
	}
	defer response.Body.Close()

	writer := h.newStreamWriter(request.RequestID)
	var text strings.Builder
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data := bytes.TrimPrefix(lines.Bytes(), []byte("data: "))
		if len(data) == 0 || bytes.Equal(data, []byte("[DONE]")) {
			continue
		}
		var event completionResponse
		if err := json.Unmarshal(data, &event); err != nil {
			return err
		}
		if event.Usage != nil {
			answer.Usage = *event.Usage
		}
		answer.Model = event.Model
		if len(event.Choices) == 0 || event.Choices[0].Delta.Content == "" {
			continue
		}
		text.WriteString(event.Choices[0].Delta.Content)
		writer.write(event.Choices[0].Delta.Content)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	writer.close()
	answer.ResponseText = text.String()
	return nil
}

func (h *handler) open(ctx context.Context, url string, body interface{}) (*http.Response, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return response, nil
}

func (h *handler) post(ctx context.Context, url string, body, result interface{}) error {
	response, err := h.open(ctx, url, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	payload, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, result)
}
