"""Runs a gateway, and calls it with the SDKs of Together and of OpenAI.

The arguments: the gateway, a Python with Together's newest SDK, and, if there is one, the folder of Node's SDKs.
"""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import together

GATEWAY, NEWEST = sys.argv[1:3]
NODE = pathlib.Path(sys.argv[3]) if sys.argv[3:] else None
MESSAGES = [{"role": "user", "content": "hello"}]
ENV = {name: value for name, value in os.environ.items() if name not in ("TOGETHER_API_KEY", "GATEWAY_TOKENS")}


class Gateway:
    def __init__(self, *flags, listen="127.0.0.1:0", **env):
        command = [GATEWAY, "--listen", listen, "--log", "off", *flags]
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, env=ENV | env, **quiet)
        self.url = self.process.stdout.readline().split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def lanes(self):
        with urllib.request.urlopen(f"{self.url}/lanes") as response:
            return json.load(response)

    def openai(self, **settings):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="token-of-tom", **settings)

    def together(self, **settings):
        return together.Together(base_url=self.url, api_key="token-of-tom", **settings)


def chat(client, **more):
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


def responses_are_read():
    with Gateway(GATEWAY_TOKENS="tom=token-of-tom") as gateway:
        for client in (gateway.openai(), gateway.together()):
            assert "stand-in" in chat(client).choices[0].message.content
            chunks = [chunk.choices for chunk in chat(client, stream=True)]
            text = "".join(choices[0].delta.content or "" for choices in chunks if choices)
            assert "stand-in" in text, text
            vectors = client.embeddings.create(model="m", input=["a", "b"]).data
            assert len(vectors) == 2 and len(vectors[0].embedding) > 1
        assert gateway.lanes()["programs"]["tom"]["sent"] == 6
        try:
            chat(openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unknown"))
            raise AssertionError("an unknown token was let in")
        except openai.AuthenticationError:
            pass
        if NODE:
            subprocess.run(["node", NODE / "gateway.mjs", gateway.url], check=True)


def resources_of_the_stand_in_are_read():
    resources = pathlib.Path(__file__).with_name("resources.py")
    programs = [[python, resources] for python in (sys.executable, NEWEST)]
    if NODE:
        programs.append(["node", NODE / "resources.mjs"])
    for program in programs:
        with Gateway() as gateway:
            subprocess.run([*program, gateway.url], check=True, env=ENV, timeout=300)


def a_restart_loses_no_call():
    flags = ("--limit", "chat-completions=6", "--max-wait", "2000", "--grace", "0.2")
    with Gateway(*flags) as gateway, ThreadPoolExecutor(20) as pool:
        client = gateway.openai()
        chat(client)
        calls = [pool.submit(chat, client) for _ in range(20)]
        while gateway.lanes()["waiting"] < 20:
            time.sleep(0.05)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait() == 0
        with Gateway(listen=gateway.url.removeprefix("http://")):
            for call in calls:
                assert call.result().choices


def retries_are_not_multiplied():
    arrived = []

    class Failing(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.append(self.path)
            body = b"{}"
            self.send_response(502)
            self.send_header("retry-after-ms", "1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Gateway("--base-url", f"http://127.0.0.1:{server.server_port}/v1") as gateway:
        try:
            chat(gateway.openai())
            raise AssertionError("a failure was taken for a success")
        except openai.InternalServerError as error:
            assert error.response.headers["x-should-retry"] == "false"
    # The gateway's own four retries, and none of the SDK's.
    assert len(arrived) == 5, arrived


for check in (responses_are_read, resources_of_the_stand_in_are_read, a_restart_loses_no_call, retries_are_not_multiplied):
    check()
    print("ok:", check.__name__.replace("_", " "))
