"""A parrot on Pipecat: a key press makes it repeat the last audio, the next one stops it.

It accepts every dispatch: echo_agent.py shows how to check the signature.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque

from aiohttp import web
from pipecat.frames.frames import Frame, InputAudioRawFrame, InputDTMFFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner
from pipecat_serializer import PatchbayTransport


class Parrot(FrameProcessor):
    """The place of speech recognition, language model and speech synthesis in a voice agent."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: deque[InputAudioRawFrame] = deque(maxlen=500)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._heard.append(frame)
        elif isinstance(frame, InputDTMFFrame):
            await self.broadcast_interruption()
            for heard in self._heard:
                await self.push_frame(OutputAudioRawFrame(heard.audio, heard.sample_rate, 1))
            self._heard.clear()
        else:
            await self.push_frame(frame, direction)


async def talk(runner: WorkerRunner, ws_url: str) -> None:
    transport = PatchbayTransport(ws_url)
    worker = PipelineWorker(
        Pipeline([transport.input(), Parrot(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
        enable_rtvi=False,
    )

    @transport.event_handler("on_disconnected")
    async def over(*_: object) -> None:
        await runner.cancel()

    await runner.add_workers(worker)
    await runner.run()
    del conversations[runner]


async def dispatch(request: web.Request) -> web.Response:
    url, runner = (await request.json())["wsUrl"], WorkerRunner(handle_sigint=False)
    # A task of its own: Patchbay waits for the answer.
    conversations[runner] = asyncio.create_task(talk(runner, url))
    return web.Response(status=204)


async def stop(_: web.Application) -> None:
    for runner, conversation in list(conversations.items()):
        await runner.cancel()
        await conversation


conversations: dict[WorkerRunner, asyncio.Task[None]] = {}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=9003)
options = parser.parse_args()
app = web.Application()
app.router.add_post("/", dispatch)
app.on_shutdown.append(stop)
print(f"Listening at http://127.0.0.1:{options.port}", flush=True)
web.run_app(app, host="127.0.0.1", port=options.port, print=None)
