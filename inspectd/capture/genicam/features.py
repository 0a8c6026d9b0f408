"""Sets a camera's features. Every one that is set is read back: a camera is asked, not believed."""

from __future__ import annotations

from collections.abc import Mapping

from inspectd import config
from inspectd.capture.camera_settings import is_as_set, refuse_another_value
from inspectd.capture.driver import CameraError, CameraSettingsError, unadjusted_ns
from inspectd.capture.genicam.camera import FeatureError, Features
from inspectd.capture.genicam.names import DELAYS, OLDER_PIXEL_FORMATS, first_of
from inspectd.capture.genicam.pixel_formats import BY_CODE, PixelFormat, format_of
from inspectd.records import CameraSettings

_FRAME_START = "FrameStart"
_LATCHES = ("TimestampLatch", "GevTimestampControlLatch")
"""Commands that have a camera read its clock."""
_LATCHED = (("TimestampLatchValue", None), ("GevTimestampValue", "GevTimestampTickFrequency"))
"""What it read, and its ticks a second; None: nanoseconds. Cameras mix the names of two standards."""


def set_choice(camera: Features, feature: str, value: str) -> None:
    """Set a feature that has named values.

    Raises:
        CameraError: the camera has no such feature or value, or says that it has another one.
    """
    if not camera.has(feature):
        raise CameraError(f"has no feature {feature}, which was to be {value}")
    try:
        camera.set_text(feature, value)
    except FeatureError as error:
        if camera.text(feature) == value:
            return  # it has no other value, and takes none
        raise CameraError(f"{feature} cannot be {value}{_expected(camera, feature)} ({error})") from error
    answered = camera.text(feature)
    if answered != value:
        raise CameraError(f"{feature} was set to {value}, and the camera says {answered}")


def _expected(camera: Features, feature: str) -> str:
    try:
        return f", expected one of: {', '.join(camera.choices(feature))}"
    except FeatureError:
        return ""  # it is a text, and nobody knows which


def set_flag(camera: Features, feature: str, *, value: bool) -> None:
    """Switch a feature on or off, if it is not so already: some cannot be changed.

    Raises:
        CameraError: the camera has no such feature, cannot switch it, or says that it did not.
    """
    if not camera.has(feature):
        raise CameraError(f"has no feature {feature}, which was to be {'on' if value else 'off'}")
    if camera.flag(feature) == value:
        return
    camera.set_flag(feature, value=value)
    if camera.flag(feature) != value:
        raise CameraError(f"{feature} was switched {'on' if value else 'off'}, and the camera says otherwise")


def set_up(camera: Features, settings: config.GenicamCamera) -> PixelFormat:
    """Set what the settings name, and how frames are started; the format of its pixels.

    Raises:
        CameraError: the camera cannot be set so, or says something else than what it was set to.
    """
    set_choice(camera, "AcquisitionMode", "Continuous")
    if settings.pixel_format is not None:
        _set_pixel_format(camera, settings.pixel_format)
    set_features(camera, settings.features or {})
    _set_trigger(camera, settings)
    code = camera.whole("PixelFormat")
    return format_of("" if code in BY_CODE else camera.text("PixelFormat"), code)


def _set_pixel_format(camera: Features, name: str) -> None:
    older = OLDER_PIXEL_FORMATS.get(name)
    is_older = older is not None and older in camera.choices("PixelFormat")
    set_choice(camera, "PixelFormat", older if older is not None and is_older else name)


def set_features(camera: Features, features: Mapping[str, bool | int | float | str]) -> None:
    """Set features that no other setting is for, in the given order.

    Args:
        camera: under this line's control.
        features: their values by their names.

    Raises:
        CameraError: the camera has none of that name or cannot set it, or says that it has another value.
    """
    for name, value in features.items():
        try:
            if isinstance(value, bool):
                set_flag(camera, name, value=value)
            elif isinstance(value, str):
                set_choice(camera, name, value)
            else:
                set_number(camera, name, value)
        except CameraError as error:
            raise CameraError(f"features.{name} = {value!r}: {error}") from error


def set_number(camera: Features, feature: str, value: float) -> None:
    """Set a number, which the camera may round if it may have a fraction.

    Raises:
        CameraError: the camera has no such feature, refuses the value, or says that it has another one.
    """
    if not camera.has(feature):
        raise CameraError(f"has no feature {feature}, which was to be {value:g}")
    if camera.is_real(feature):
        camera.set_real(feature, value)
        answered = camera.real(feature)
        if not is_as_set(feature, value, answered):
            raise CameraError(f"{feature} was set to {value:g}, and the camera says {answered:g}")
        return
    if value != int(value) or not -(2**63) <= value < 2**63:
        raise CameraError(f"{feature} is a whole number of 64 bits, and was to be {value:g}")
    camera.set_whole(feature, int(value))
    held = camera.whole(feature)
    if held != value:
        raise CameraError(f"{feature} was set to {value:g}, and the camera says {held}")


def _set_trigger(camera: Features, settings: config.GenicamCamera) -> None:
    is_started = settings.trigger_source is not None
    # A trigger that another program left switched on would hold frames back, or start others.
    for selector in camera.choices("TriggerSelector") if camera.has("TriggerSelector") else ():
        if is_started and selector == _FRAME_START:
            continue  # that one is set below; some cameras take a third of a second for each register
        set_choice(camera, "TriggerSelector", selector)
        set_choice(camera, "TriggerMode", "Off")
    if settings.trigger_source is None:
        return
    set_choice(camera, "TriggerSelector", _FRAME_START)
    set_choice(camera, "TriggerSource", settings.trigger_source)
    if settings.trigger_activation is not None:
        set_choice(camera, "TriggerActivation", settings.trigger_activation)
    if settings.trigger_delay_us is not None:
        feature = first_of(camera, DELAYS)
        if feature is None:
            raise CameraError(f"has no feature {' or '.join(DELAYS)}; leave trigger_delay_us out")
        camera.set_real(feature, settings.trigger_delay_us)
        answered = camera.real(feature)
        if abs(answered - settings.trigger_delay_us) > max(1.0, 0.02 * settings.trigger_delay_us):
            raise CameraError(
                f"{feature} was set to {settings.trigger_delay_us:g} us, and the camera says {answered:g}; "
                "give a value that it has"
            )
    set_choice(camera, "TriggerMode", "On")


def ask_time_ns(camera: Features) -> tuple[int, int, int] | None:
    """Ask a camera for its time, nanoseconds on the clock by which it stamps frames; None: it cannot say it.

    Beside it, when that was asked and done, on the machine's unadjusted clock: what else is asked for takes
    no part in it.

    Raises:
        FeatureError: it names such features, and refuses.
    """
    latch = next((name for name in _LATCHES if camera.has(name)), None)
    value, ticks = next((both for both in _LATCHED if camera.has(both[0])), (None, None))
    if latch is None or value is None:
        return None
    a_second = 10**9 if ticks is None else camera.whole(ticks)
    if a_second == 0:
        return None  # GigE Vision's word for a camera without a clock
    asked_ns = unadjusted_ns()
    camera.execute(latch)
    answered_ns = unadjusted_ns()
    return camera.whole(value) * 10**9 // a_second, asked_ns, answered_ns


def apply_settings(camera: Features, settings: CameraSettings) -> None:
    """Set exposure time and gain, with what is automatic about them off.

    Raises:
        CameraSettingsError: it cannot be set, has a gain without decibels, or says that it has another value.
    """
    try:
        if settings.exposure_us is not None:
            _switch_off(camera, "ExposureAuto")
            camera.set_exposure_us(settings.exposure_us)
            refuse_another_value("exposure_us", settings.exposure_us, camera.exposure_us())
        if settings.gain_db is not None:
            _set_gain(camera, settings.gain_db)
    except CameraError as error:
        raise CameraSettingsError(str(error)) from error


def _switch_off(camera: Features, feature: str) -> None:
    if camera.has(feature):
        set_choice(camera, feature, "Off")


def _set_gain(camera: Features, gain_db: float) -> None:
    unit = camera.unit("Gain") if camera.has("Gain") else None
    if unit != "dB":
        says = "has no feature Gain" if unit is None else f'gives the unit of its gain as "{unit}"'
        raise CameraSettingsError(
            f"gain_db: got {gain_db:g}, but the camera {says}, expected dB: nobody knows which value is that "
            "many decibels; leave it out, and set a fixed gain at the camera"
        )
    _switch_off(camera, "GainAuto")
    camera.set_real("Gain", gain_db)
    refuse_another_value("gain_db", gain_db, camera.real("Gain"))
