"""Timer functions on schedules of a second, and one whose schedule is nowhere."""

from __future__ import annotations

import threading
import time

import azure.functions as func

app = func.FunctionApp()
ticks: list[tuple[str, object]] = []
slow = threading.Lock()


@app.timer_trigger(arg_name="timer", schedule="%EVERY_SECOND%")
def fails(timer: func.TimerRequest) -> None:
    ticks.append(("fails", timer))
    raise RuntimeError("a fault of the function's own")


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def lasts(timer: func.TimerRequest) -> None:
    alone = slow.acquire(blocking=False)
    ticks.append(("lasts", alone))
    time.sleep(1.2)
    slow.release()


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def on_start(timer: func.TimerRequest) -> None:
    ticks.append(("on_start", timer))


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
async def by_hand(timer: func.TimerRequest) -> None:
    ticks.append(("by_hand", timer))


@app.timer_trigger(arg_name="timer", schedule="%NO_SUCH_SETTING%")
def unset(timer: func.TimerRequest) -> None:
    ticks.append(("unset", timer))


@app.timer_trigger(arg_name="timer", schedule="00:05:00")
def span(timer: func.TimerRequest) -> None:
    ticks.append(("span", timer))
