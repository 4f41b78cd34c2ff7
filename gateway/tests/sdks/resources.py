"""Reads every resource of the stand-in with the SDKs of Together and of OpenAI; the argument is the stand-in's URL."""

import json
import pathlib
import sys
import tempfile

import openai
import together

URL = sys.argv[1]
MESSAGES = [{"role": "user", "content": "hello"}]
REQUEST = {"custom_id": "1", "body": {"model": "m", "messages": MESSAGES}}
EXAMPLE = {"messages": [*MESSAGES, {"role": "assistant", "content": "hi"}]}


def of_together(folder):
    client = together.Together(base_url=URL, api_key="key", project_id="none")
    # Version 3 lists a project's own models with `list`, and all others with this.
    models = getattr(client.models, "list_supported", client.models.list)()
    assert "standin/chat" in [model.id for model in models] and list(models)[0].pricing is not None
    assert client.images.generate(model="m", prompt="a").data
    assert client.completions.create(model="m", prompt="a").choices

    def upload(purpose, line):
        path = folder / f"{purpose}.jsonl"
        path.write_text((json.dumps(line) + "\n") * 10)
        file = client.files.upload(path, purpose=purpose)
        assert file.filename == path.name and file.bytes == path.stat().st_size
        assert client.files.retrieve(file.id).id == file.id
        assert client.files.content(file.id).read() == path.read_bytes()
        return file.id

    file = upload("batch-api", REQUEST)
    job = client.batches.create(input_file_id=file, endpoint="/v1/chat/completions").job
    assert client.batches.retrieve(job.id).id == job.id and client.batches.list()[0].id == job.id
    assert client.batches.cancel(job.id).status
    file = upload("fine-tune", EXAMPLE)
    assert len(client.files.list().data) == 2
    job = client.fine_tuning.create(training_file=file, model="m", lora=True)
    assert client.fine_tuning.retrieve(job.id).id == job.id and client.fine_tuning.list().data[0].id == job.id
    assert client.fine_tuning.list_events(job.id).data == []
    assert client.fine_tuning.list_checkpoints(job.id).data == []
    assert client.fine_tuning.cancel(job.id).status
    assert client.files.delete(file).deleted


def of_openai(folder):
    client = openai.OpenAI(base_url=f"{URL}/v1", api_key="key")
    path = folder / "openai.jsonl"
    path.write_text(json.dumps(REQUEST) + "\n")
    file = client.files.create(file=path, purpose="batch")
    assert file.filename == path.name and file.bytes == path.stat().st_size
    assert client.files.retrieve(file.id).id == file.id and file.id in [one.id for one in client.files.list()]
    assert client.files.content(file.id).read() == path.read_bytes()
    assert client.files.delete(file.id).deleted
    assert client.completions.create(model="m", prompt="a").choices
    assert client.images.generate(model="m", prompt="a").data


with tempfile.TemporaryDirectory() as folder:
    of_together(pathlib.Path(folder))
    of_openai(pathlib.Path(folder))
print("ok: resources of the stand-in are read by together", together.__version__, "and openai", openai.__version__)
