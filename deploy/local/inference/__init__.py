"""The local inference server: an honest stand-in for model servers, on the CPU of this machine.

Sentence embeddings are real (all-MiniLM-L6-v2); the reranker is lexical-semantic; the chat model is *extractive*:
it answers in sentences of the documents it is shown and writes none of its own. Speech is real: flite speaks (espeak-ng
where it is not installed), pocketsphinx transcribes.
"""
