"""The Kubeflow pipelines `rag-query` and `voice-pipeline`; ``make pipelines`` compiles them.

Every step is a container of the fleet's own image that is told what to do by its arguments. So an image needs neither
the KFP SDK, whose protobuf does not fit the fleet's, nor a package index when it runs.
"""

from kfp import dsl, kubernetes

__all__ = ["PIPELINES", "rag_query", "voice_pipeline"]

IMAGE = "registry.example.com/ai-services/pipeline-bridge:0.1.0"
COMMAND = ["python3", "-m", "pipeline_bridge.steps.kubeflow"]

MODELS = ("VLLM_URL", "EMBEDDINGS_URL", "RERANKER_URL", "WHISPER_URL", "TTS_URL")
SERVERS = {name: name for name in (*MODELS, "MILVUS_HOST", "MILVUS_PORT")}
"""What a step reads of the ConfigMap `ai-services-config`."""

# An argument is one piece, name and value, so that no value can be taken for another option.


@dsl.container_component
def transcribe(audio_url: str, language: str, transcript: dsl.OutputPath(str)) -> dsl.ContainerSpec:
    """Fetch a recording, and understand it."""
    args = [f"--audio-url={audio_url}", f"--language={language}", f"--transcript={transcript}"]
    return dsl.ContainerSpec(image=IMAGE, command=[*COMMAND, "transcribe"], args=args)


@dsl.container_component
def retrieve(question: str, collection: str, top_k: int, passages: dsl.Output[dsl.Dataset]) -> dsl.ContainerSpec:
    """Search the documents."""
    args = [
        f"--question={question}",
        f"--collection={collection}",
        f"--top-k={top_k}",
        f"--passages={passages.path}",
    ]
    return dsl.ContainerSpec(image=IMAGE, command=[*COMMAND, "retrieve"], args=args)


@dsl.container_component
def answer(language: str, passages: dsl.Input[dsl.Dataset], answer: dsl.OutputPath(str)) -> dsl.ContainerSpec:
    """Have the model answer from the passages."""
    args = [f"--language={language}", f"--passages={passages.path}", f"--answer={answer}"]
    return dsl.ContainerSpec(image=IMAGE, command=[*COMMAND, "answer"], args=args)


@dsl.container_component
def speak(text: str, voice: str, language: str, speech: dsl.Output[dsl.Artifact]) -> dsl.ContainerSpec:
    """Have a text spoken."""
    args = [
        f"--text={text}",
        f"--voice={voice}",
        f"--language={language}",
        f"--speech={speech.path}",
    ]
    return dsl.ContainerSpec(image=IMAGE, command=[*COMMAND, "speak"], args=args)


def _placed(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Say what a step needs of the cluster."""
    kubernetes.use_config_map_as_env(task, "ai-services-config", SERVERS, optional=True)
    kubernetes.set_security_context(task, run_as_user=65532, run_as_group=65532, run_as_non_root=True)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    task.set_cpu_request("100m").set_cpu_limit("1").set_memory_request("128Mi").set_memory_limit("512Mi")
    task.set_retry(num_retries=2, backoff_duration="10s", backoff_factor=2.0)
    # Documents and models change without the arguments doing so.
    return task.set_caching_options(enable_caching=False)


@dsl.pipeline(name="rag-query", description="One question, answered from a collection.")
def rag_query(question: str, collection: str = "knowledge_base", top_k: int = 5) -> str:
    """Search, then answer."""
    found = _placed(retrieve(question=question, collection=collection, top_k=top_k))
    return _placed(answer(language="en", passages=found.outputs["passages"])).outputs["answer"]


@dsl.pipeline(name="voice-pipeline", description="A recording, to text, to an answer, to speech.")
def voice_pipeline(
    audio_url: str, collection: str = "knowledge_base", language: str = "en", voice: str = ""
) -> dsl.Artifact:
    """Understand, search, answer, speak."""
    heard = _placed(transcribe(audio_url=audio_url, language=language))
    kubernetes.use_config_map_as_env(heard, "pipelines-config", {"SOURCE_URLS": "SOURCE_URLS"}, optional=True)
    found = _placed(retrieve(question=heard.outputs["transcript"], collection=collection, top_k=5))
    answered = _placed(answer(language=language, passages=found.outputs["passages"]))
    spoken = _placed(speak(text=answered.outputs["answer"], voice=voice, language=language))
    return spoken.outputs["speech"]


PIPELINES = {"rag-query": rag_query, "voice-pipeline": voice_pipeline}
"""By the name that the table of pipelines has for them."""
