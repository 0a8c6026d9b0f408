"""Routes of teaching: cases, candidates, reports, signatures. All of it is the line's teaching desk's."""

from __future__ import annotations

import tempfile
from typing import Annotated, Any, Final, Literal

import msgspec
from anyio import to_thread
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd.errors import ExitCode
from inspectd.page.accounts.roles import Act
from inspectd.page.answers import ApiError, json_answer
from inspectd.page.guard import CheckPassword, Guard
from inspectd.page.history.children import Children
from inspectd.page.teaching import TeachingDesk, desk_person
from inspectd.teach.desk_messages import (
    AnswerAsked,
    BuildAsked,
    CancelAsked,
    JobAsked,
    LookAsked,
    MarkAsked,
    PictureAsked,
    RenewAsked,
    ReportAsked,
    SignAsked,
)

_EDGE_PX: Final = 640
_PICTURE_SECONDS: Final = 30.0
_HELD: Final = {"Cache-Control": "private, max-age=86400, immutable"}
"""A picture is named by its content."""

_Reason = Annotated[str, Meta(max_length=300)]
_Password = Annotated[str, Meta(min_length=1, max_length=200)]
_CaseId = Annotated[str, Meta(pattern=r"^[0-9]{1,16}-[0-9]{1,16}\Z")]
_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Number = Annotated[int, Meta(ge=0, lt=10**16)]


class MarkedPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part whose verdict is called wrong."""

    epoch: _Number
    seq: _Number
    part_is: Literal["good", "bad"]
    reason: _Reason = ""


class SecondWord(msgspec.Struct, forbid_unknown_fields=True):
    """What a second person says of a case."""

    case: _CaseId
    agrees: bool
    reason: _Reason = ""


class SignedWord(msgspec.Struct, forbid_unknown_fields=True):
    """What a person says of a case and signs with the password."""

    case: _CaseId
    reason: Annotated[str, Meta(min_length=1, max_length=300)]
    password: _Password


class CandidateOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Whose bank a candidate is to be built for."""

    recipe: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")]
    camera: Annotated[str, Meta(min_length=1, max_length=130)]
    reason: _Reason = ""


class ReportOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Of which candidate the report is to be made anew."""

    candidate: _Digest
    reason: _Reason = ""


class JobEnd(msgspec.Struct, forbid_unknown_fields=True):
    """The job that is to end, by when it began."""

    began_ms: _Number
    reason: _Reason = ""


class CandidateSignature(msgspec.Struct, forbid_unknown_fields=True):
    """A signature under a candidate."""

    candidate: _Digest
    reason: Annotated[str, Meta(min_length=1, max_length=300)]
    password: _Password
    second_reason: _Reason = ""


class TeachRoutes:
    """Teaching over HTTP.

    Args:
        guard: who may.
        desk: does it.
        check_password: of a signature.
    """

    def __init__(self, guard: Guard, desk: TeachingDesk, check_password: CheckPassword) -> None:
        self._guard, self._desk, self._check_password = guard, desk, check_password
        self._children = Children(2)

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        acts = {
            "teach_mark": self.mark,
            "teach_confirm": self.confirm,
            "teach_vouch": self.vouch,
            "teach_withdraw": self.withdraw,
            "teach_build": self.build,
            "teach_cancel": self.cancel,
            "teach_report": self.renew_report,
            "teach_propose": self.propose,
            "teach_approve": self.approve,
        }
        return [
            Route("/api/teach", self.look, methods=["GET"]),
            Route("/api/teach/job", self.say_job, methods=["GET"]),
            Route("/api/teach/reports/{sha256}", self.give_report, methods=["GET"]),
            Route("/api/teach/pictures/{sha256}", self.give_picture, methods=["GET"]),
            Route("/api/teach/shown/{sha256}", self.give_shown, methods=["GET"]),
            *(Route(f"/api/acts/{name}", do, methods=["POST"]) for name, do in acts.items()),
        ]

    # --- looking ------------------------------------------------------------------------------------------

    async def look(self, request: Request) -> Response:
        """All cases and candidates, and what is under way."""
        await self._guard.allow(request, Act.VIEW)
        value, _ = await self._desk.look(LookAsked())
        return json_answer(value)

    async def say_job(self, request: Request) -> Response:
        """What is computed, or was last."""
        await self._guard.allow(request, Act.VIEW)
        value, _ = await self._desk.look(JobAsked())
        return json_answer({"job": value})

    async def give_report(self, request: Request) -> Response:
        """The report on a candidate."""
        await self._guard.allow(request, Act.VIEW)
        value, _ = await self._desk.look(ReportAsked(_digest(request)))
        return json_answer(value)

    async def give_shown(self, request: Request) -> Response:
        """A picture that a report was made with, JPEG by this program."""
        await self._guard.allow(request, Act.VIEW)
        _, picture = await self._desk.look(PictureAsked(_digest(request), is_shown=True))
        return Response(picture, media_type="image/jpeg", headers=_HELD)

    async def give_picture(self, request: Request) -> Response:
        """A picture of a case, encoded anew, in a process of its own."""
        await self._guard.allow(request, Act.VIEW)
        _, picture = await self._desk.look(PictureAsked(_digest(request)))
        with await to_thread.run_sync(tempfile.TemporaryFile) as file:
            await to_thread.run_sync(file.write, picture)
            file.seek(0)
            made = await self._children.run(
                "inspectd.page.history.picture_child", ["frame", str(_EDGE_PX)],
                seconds=_PICTURE_SECONDS, source=file,
            )  # fmt: skip
        if made.code != ExitCode.OK:
            raise ApiError(409, "damaged", f"The picture cannot be shown: {made.error[:300] or 'too slow'}")
        return Response(made.output, media_type="image/jpeg", headers=_HELD)

    # --- acts ---------------------------------------------------------------------------------------------

    async def mark(self, request: Request) -> Response:
        """Say that a verdict was wrong."""
        account, wanted = await self._guard.take(request, Act.TEACH_MARK, MarkedPart)
        verdict = f"{wanted.epoch}:{wanted.seq}"
        asked = MarkAsked(desk_person(account, wanted.reason), verdict, wanted.part_is)
        about = f"{verdict} is {wanted.part_is}"
        return _done(await self._desk.act(account, Act.TEACH_MARK, about, wanted.reason, asked))

    async def confirm(self, request: Request) -> Response:
        """Say as a second person that it was, or that it was not."""
        account, wanted = await self._guard.take(request, Act.TEACH_CONFIRM, SecondWord)
        say: Literal["confirm", "refuse"] = "confirm" if wanted.agrees else "refuse"
        asked = AnswerAsked(desk_person(account, wanted.reason), wanted.case, say)
        about = f"{say} {wanted.case}"
        return _done(await self._desk.act(account, Act.TEACH_CONFIRM, about, wanted.reason, asked))

    async def vouch(self, request: Request) -> Response:
        """Vouch for an unusual part."""
        return await self._sign_case(request, Act.TEACH_VOUCH, "vouch")

    async def withdraw(self, request: Request) -> Response:
        """Take a confirmed case back; of a known defect the desk asks for quality."""
        return await self._sign_case(request, Act.TEACH_WITHDRAW, "withdraw")

    async def _sign_case(self, request: Request, act: Act, say: Literal["vouch", "withdraw"]) -> Response:
        account, wanted = await self._guard.take_signed(request, act, SignedWord, self._check_password)
        asked = AnswerAsked(desk_person(account, wanted.reason), wanted.case, say)
        return _done(await self._desk.act(account, act, f"{say} {wanted.case}", wanted.reason, asked))

    async def build(self, request: Request) -> Response:
        """Have a candidate built and reported on."""
        account, wanted = await self._guard.take(request, Act.TEACH_BUILD, CandidateOrder)
        asked = BuildAsked(desk_person(account, wanted.reason), wanted.recipe, wanted.camera)
        about = f"{wanted.recipe}, {wanted.camera}"
        return _done(await self._desk.act(account, Act.TEACH_BUILD, about, wanted.reason, asked))

    async def cancel(self, request: Request) -> Response:
        """End what is computed."""
        account, wanted = await self._guard.take(request, Act.TEACH_BUILD, JobEnd)
        asked = CancelAsked(desk_person(account, wanted.reason), wanted.began_ms)
        return _done(await self._desk.act(account, Act.TEACH_BUILD, "cancel", wanted.reason, asked))

    async def renew_report(self, request: Request) -> Response:
        """Have the report on a candidate made anew."""
        account, wanted = await self._guard.take(request, Act.TEACH_REPORT, ReportOrder)
        asked = RenewAsked(desk_person(account, wanted.reason), wanted.candidate)
        about = f"report {wanted.candidate[:12]}"
        return _done(await self._desk.act(account, Act.TEACH_REPORT, about, wanted.reason, asked))

    async def propose(self, request: Request) -> Response:
        """Sign a candidate first."""
        return await self._sign(request, Act.TEACH_PROPOSE, "propose")

    async def approve(self, request: Request) -> Response:
        """Sign it second: it becomes a version of the recipe."""
        return await self._sign(request, Act.TEACH_APPROVE, "approve")

    async def _sign(self, request: Request, act: Act, sign: Literal["propose", "approve"]) -> Response:
        account, wanted = await self._guard.take_signed(
            request, act, CandidateSignature, self._check_password
        )
        asked = SignAsked(desk_person(account, wanted.reason), wanted.candidate, sign, wanted.second_reason)
        about = f"{sign} {wanted.candidate[:12]}"
        return _done(await self._desk.act(account, act, about, wanted.reason, asked))


def _done(value: Any) -> Response:
    return json_answer({"ok": True, "answer": value})


def _digest(request: Request) -> str:
    sha256 = str(request.path_params["sha256"])
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ApiError(404, "not_found", "There is nothing at this address.")
    return sha256
