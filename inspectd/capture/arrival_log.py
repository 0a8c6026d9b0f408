"""When each picture of a stream without times can have been sent, by when its bytes came in. Pure.

Motion JPEG over HTTP carries no time. What can be known is when bytes arrive, and only by looking: a reader
that was held up finds the pictures of the whole time in the buffers of both machines, and they come at once,
one after the other, like new ones. And a network that holds something back gives all of it at once. So the
beginning of the last silence between two pictures is the earliest that the second can have been sent: had it
been on its way then, it would have come with the first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import accumulate, islice, pairwise
from statistics import fmean, median
from typing import Final, NamedTuple

SLICE_SECONDS: Final = 0.002
"""How often whoever reads a connection looks whether something came."""
_LONGEST_SILENCE_NS: Final = 8_000_000
_SHORTEST_SILENCE_NS: Final = 2_000_000
_SILENT_SHARE: Final = 0.25
"""Of the time between two pictures: silence this long shows that the sender has nothing left to send."""
_STEADY: Final = 4
"""Pictures one after the other that have to come as the camera takes them before a silence shows anything."""
_USUALLY_SILENT: Final = 4
"""Of twice as many pictures: so many have to have come after a silence, else what is sent fills the link."""
_UNSTEADY_SHARE: Final = 0.75
"""Of that time: pictures that come sooner or later than even ones would, by more than this, are a backlog, or
may hide one. A camera that leaves out every third picture of its sensor is within it."""
_STALL_SHARE: Final = 1.5
"""Of that time: a picture that comes so much later than it should may begin a backlog."""
_STILL_COMING: Final = 48
"""Pictures in which a backlog becomes smaller, by `_FEWER_SHARE` of that time, if there is one."""
_FEWER_SHARE: Final = 0.5
_NEAR_SHARE: Final = 0.25
"""Of that time: a picture that comes so near a multiple of it comes after some that the camera left out."""
_EVEN_SHARE: Final = 0.25
"""Of that time: a pace is even if the mean of `_ARRIVALS` pictures is never sooner or later by more. So a
camera may jitter, but what hands on a backlog, whose every delay stays, is not even for long."""
_SURE_PICTURES: Final = 256
"""So many in a row tell the pace to `_PACE_DOUBT`, with the jitter that cameras have."""
_PACE_DOUBT: Final = 0.003
_LOOK_NS: Final = 500_000_000
"""How often the pace is learned, which costs about a microsecond for each picture of half a minute."""
_SETTLE_NS: Final = 1_000_000_000
_RATE_WINDOW_NS: Final = 30_000_000_000
_ARRIVALS: Final = 16  # whose middle interval is taken, or whose mean
_OF_A_PAUSE: Final = 2
"""A sender that waits for the network pauses within pictures too; a silence is longer than such a pause, and
than a round trip, by so much."""
_PAUSES: Final = 8  # pictures whose longest pause is remembered
_REMEMBERED_CHUNKS: Final = 4096


class ArrivalSpan(NamedTuple):
    """Span in which the sending of a picture began."""

    earliest_ns: int
    latest_ns: int


class _Silence(NamedTuple):
    """A time in which nothing came, and the offset at which it lies."""

    offset: int
    since_ns: int
    lasted_ns: int


class ArrivalLog:
    """Arrival times of a stream's bytes, by their offset. Pure: time is handed in.

    A picture that comes after a silence was sent after the silence began, however long the network held it
    back meanwhile (a lost packet, a link that was down, a radio that sleeps). One that comes without a
    silence before it may have waited, here or at the sender, since the last. A silence within a picture shows
    that the sender waits for the network, and how long: none as short shows anything between two pictures.
    Where what is sent fills the link, pictures come without one, and a silence is a rest of the link. Nor
    does a silence show anything unless the last pictures came as the camera takes them: what hands on a
    backlog may rest between them. How often the camera takes pictures shows over a time that a backlog and
    what caused it fit in. So nothing is known of the first pictures of a connection: a relay may begin with
    what it kept from before. Nor of those after a stall, until the pictures of that time have come or plainly
    do not: where others on the link stand between those of a backlog it comes evenly, each after a silence.
    A backlog also gathers without a stall, while the share of a link falls slowly: a picture may have been
    sent sooner by what it is behind the camera's pace, and nothing is known while that is much.
    """

    def __init__(self, began_ns: int) -> None:
        """Nothing has come when the connection begins."""
        self.round_trip_ns = 0
        self._begun_ns: deque[int] = deque()
        self._settled_ns: int | None = None
        self._silent_since_ns = began_ns
        self._silent_until_ns = began_ns
        self._read_ns = began_ns
        self._earliest_ns = 0
        self._offset = 0
        self._offsets: deque[int] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._came: deque[ArrivalSpan] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._silences: deque[_Silence] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._pauses_ns: deque[int] = deque(maxlen=_PAUSES)
        self._came_after_silence: deque[bool] = deque(maxlen=2 * _USUALLY_SILENT)
        self._end = 0
        self._stall = _Stall()
        self._lag = _Lag()

    def nothing_until(self, time_ns: int) -> None:
        """Note that there was nothing to read up to this moment."""
        self._silent_until_ns = time_ns

    def waited(self, lasted_ns: int) -> None:
        """Note that what had begun to come took so long until it could be read."""
        self._silences.append(_Silence(self._offset + 1, self._silent_until_ns, lasted_ns))

    def something_at(self, latest_ns: int, earliest_ns: int | None = None) -> None:
        """Note that something has been read that came between these moments, as far as they are known.

        It had not come while there was nothing to read, whatever clocks say.
        """
        earliest_ns = max(earliest_ns or 0, self._silent_until_ns)
        latest_ns = max(latest_ns, earliest_ns)
        lasted_ns = self._silent_until_ns - max(self._silent_since_ns, self._read_ns)
        if lasted_ns > 0:
            self._silences.append(_Silence(self._offset, self._silent_since_ns, lasted_ns))
        if self._offsets and self._offsets[-1] == self._offset:
            # What was read before held no byte of the body yet.
            self._came.pop()
        else:
            self._offsets.append(self._offset)
        self._came.append(ArrivalSpan(earliest_ns, latest_ns))

    def received(self, size: int, now_ns: int) -> None:
        """Note that `size` bytes of what was read belong to the stream, as is found by now.

        Nothing has come since they did, however late they were read: else it would have been read with them.
        But only from now on does that show anything of the sender: until then there may have been no room.
        """
        self._offset += size
        came_ns = self._came[-1].latest_ns if self._came else now_ns
        self._silent_since_ns = self._silent_until_ns = min(came_ns, now_ns)
        self._read_ns = now_ns

    def picture(self, begin: int, size: int) -> ArrivalSpan:
        """Span in which the picture at these bytes was sent; call it for each in order, after it has come."""
        end = begin + size
        pause_ns = 0
        before: list[_Silence] = []
        while self._silences and self._silences[0].offset < end:
            found = self._silences.popleft()
            if found.offset > begin:
                pause_ns = max(pause_ns, found.lasted_ns)
            elif found.offset >= self._end:
                before.append(found)
            else:  # it lay within the one before, and came to light since
                self._pauses_ns.append(found.lasted_ns)
        self._pauses_ns.append(pause_ns)
        self._end = end
        index = bisect_right(self._offsets, begin) - 1
        if index < 0:  # longer ago than is remembered
            return ArrivalSpan(0, self._came[0].latest_ns if self._came else 0)
        came = self._came[index]
        self._note_silences(before, came.earliest_ns)
        was_stalled = bool(self._stall.owed_ns)
        were_lost = self._stall.note(came.latest_ns, self._begun_ns)
        if came.latest_ns >= (self._settled_ns or 0):
            self._lag.note(came.latest_ns, is_stalled=was_stalled or bool(self._stall.owed_ns))
        if were_lost:
            # The time without those that were lost says nothing of how often the camera takes pictures.
            while len(self._begun_ns) > _STILL_COMING:
                self._begun_ns.popleft()
        self._begun_ns.append(came.latest_ns)
        while self._begun_ns[-1] - self._begun_ns[0] > _RATE_WINDOW_NS:
            self._begun_ns.popleft()
        return ArrivalSpan(self._earliest_ns, came.latest_ns)

    def _note_silences(self, before: Iterable[_Silence], came_ns: int) -> None:
        """Take the last silence before a picture that came then, if it shows anything."""
        least_ns = max(self._silence_ns(), _OF_A_PAUSE * max(self.round_trip_ns, *self._pauses_ns, 0))
        is_usual = sum(self._came_after_silence) >= _USUALLY_SILENT
        self._came_after_silence.append(any(silence.lasted_ns >= least_ns for silence in before))
        if self._is_steady(came_ns) and is_usual and not self._stall.owed_ns and not self._lag.is_long:
            for silence in before:
                if silence.lasted_ns >= least_ns:
                    since_ns = silence.since_ns - int(self._lag.lag_ns)
                    self._earliest_ns = max(self._earliest_ns, since_ns)

    def _silence_ns(self) -> int:
        """The least silence between two pictures, a share of the time between the last ones."""
        last = list(islice(reversed(self._begun_ns), _ARRIVALS))
        if len(last) <= 1:
            return _LONGEST_SILENCE_NS
        share_ns = int(_SILENT_SHARE * median(later - sooner for later, sooner in pairwise(last)))
        return min(_LONGEST_SILENCE_NS, max(_SHORTEST_SILENCE_NS, share_ns))

    def _is_steady(self, came_ns: int) -> bool:
        """Whether the last pictures came as the camera takes them, and one that comes now not too soon."""
        if self._settled_ns is None:
            self._settled_ns = came_ns + _SETTLE_NS
        if came_ns < self._settled_ns or len(self._begun_ns) <= _STEADY:
            return False
        interval_ns = (self._begun_ns[-1] - self._begun_ns[0]) / (len(self._begun_ns) - 1)
        # By how much each came later than this one, had they come evenly.
        late_ns = [
            begun_ns - came_ns + number * interval_ns
            for number, begun_ns in enumerate(islice(reversed(self._begun_ns), _STEADY + 1), 1)
        ]
        most_ns = max(_UNSTEADY_SHARE * interval_ns, 2e9 * SLICE_SECONDS)
        return max(late_ns) <= most_ns and max(late_ns) - min(late_ns) <= most_ns


class _Stall:
    """Whether pictures of the time of a stall are still to come, by how far those since then are behind."""

    def __init__(self) -> None:
        self.owed_ns = 0.0
        """Time whose pictures may still come; 0: none."""
        self._owed_before_ns = 0.0
        self._pictures = 0
        self._was_late = False
        self._pace_ns = 0.0

    def note(self, begun_ns: int, before_ns: deque[int]) -> bool:
        """Note when a picture came, and when those before it did; True where those of a stall were lost."""
        last_ns = before_ns[-1] if before_ns else begun_ns
        if not self.owed_ns:
            self._was_late = False
            if len(before_ns) <= _STEADY or last_ns - before_ns[0] < _SETTLE_NS:
                return False
            self._pace_ns = (last_ns - before_ns[0]) / (len(before_ns) - 1)
        late_ns = begun_ns - last_ns - self._pace_ns
        is_late = late_ns > _STALL_SHARE * self._pace_ns
        if not (is_late or self.owed_ns):
            return False
        self.owed_ns += late_ns
        self._pictures += 1
        if is_late and not self._was_late:  # not each time: then the camera's rate has changed
            self._owed_before_ns, self._pictures = self.owed_ns, 0
        self._was_late = is_late
        if self.owed_ns <= _UNSTEADY_SHARE * self._pace_ns:
            self.owed_ns = 0.0  # they have come
        elif self._pictures >= _STILL_COMING:
            were_lost = self._owed_before_ns - self.owed_ns < _FEWER_SHARE * self._pace_ns
            if were_lost:
                self.owed_ns = 0.0
            self._owed_before_ns, self._pictures = self.owed_ns, 0
            return were_lost
        return False


class _Lag:
    """How far pictures are behind the quickest even pace that they kept on this connection.

    While a sender gets a little less of the link than its camera takes, it gathers a backlog, and they come
    evenly, a little too slowly. Those of a camera that became slower come so, too: the two cannot be told
    apart. So either is behind until what is missing has come, or until the pace has been even for half a
    minute, as a camera's is, and a link's only where nothing on it varies. So is what lost some meanwhile.
    """

    def __init__(self) -> None:
        self.lag_ns = 0.0
        self.is_long = False
        """Whether it is so much that nothing is known of the pictures."""
        self._pace_ns = 0.0
        self._begun_ns: deque[int] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._look_ns = 0

    def note(self, begun_ns: int, *, is_stalled: bool) -> None:
        """Note when a picture came, and whether in a stall, which `_Stall` knows about."""
        if self._pace_ns and self._begun_ns and not is_stalled:
            since_ns = begun_ns - self._begun_ns[-1]
            due_ns = _intervals(since_ns, self._pace_ns) * self._pace_ns * (1 + _PACE_DOUBT)
            self.lag_ns = max(0.0, self.lag_ns + since_ns - due_ns)
            self.is_long = self.lag_ns > _UNSTEADY_SHARE * self._pace_ns
        self._begun_ns.append(begun_ns)
        while len(self._begun_ns) > 1 and begun_ns - self._begun_ns[1] >= _RATE_WINDOW_NS:
            self._begun_ns.popleft()
        is_whole = (
            begun_ns - self._begun_ns[0] >= _RATE_WINDOW_NS or len(self._begun_ns) == _REMEMBERED_CHUNKS
        )
        are_enough = is_whole or (len(self._begun_ns) >= _SURE_PICTURES and not self.is_long)
        if are_enough and not is_stalled and begun_ns >= self._look_ns:
            self._look_ns = begun_ns + _LOOK_NS
            self._learn()

    def _learn(self) -> None:
        """Learn the pace from the last pictures, if they kept one."""
        pace_ns, is_even = _pace(self._begun_ns)
        if is_even and (self.is_long or not self._pace_ns):
            self._pace_ns, self.lag_ns, self.is_long = pace_ns, 0.0, False
        elif is_even:
            self._pace_ns = min(self._pace_ns, pace_ns)


def _intervals(since_ns: float, pace_ns: float) -> int:
    """How many intervals of a camera lie between two pictures: those between were left out, or lost."""
    number = round(since_ns / pace_ns)
    is_near = abs(since_ns - number * pace_ns) <= _NEAR_SHARE * pace_ns
    return max(1, number) if is_near or number > 1 + _STALL_SHARE else 1


def _pace(begun_ns: Iterable[int]) -> tuple[float, bool]:
    """The mean time between pictures, also those that were left out, and whether they kept it all along."""
    since_ns = [later - sooner for sooner, later in pairwise(begun_ns)]
    usual_ns = max(1.0, median(since_ns))
    numbers = [_intervals(each_ns, usual_ns) for each_ns in since_ns]
    pace_ns = sum(since_ns) / sum(numbers)
    late_ns = list(
        accumulate(each - number * pace_ns for each, number in zip(since_ns, numbers, strict=True))
    )
    firsts = range(0, max(1, len(late_ns) - _ARRIVALS + 1), _ARRIVALS)
    means_ns = [fmean(late_ns[first : first + _ARRIVALS]) for first in firsts]
    return pace_ns, max(means_ns) - min(means_ns) <= _EVEN_SHARE * pace_ns
