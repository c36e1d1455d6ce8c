"""Speech with its phonemes' times, from libespeak-ng called in this process."""

import ctypes
import os

import numpy as np

RATE = 16000
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA = 1, 2
_PHONEME, _END = 7, 0
_RATE, _VOLUME, _PITCH, _RANGE, _GAP = 1, 2, 3, 4, 7
_UTF8 = 1


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", _Id)]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """One synthesiser; a process may have one. `data` is the folder that holds espeak-ng-data, if not the usual one."""

    def __init__(self, data=None, library="libespeak-ng.so.1"):
        self._library = ctypes.CDLL(library)
        path = os.fsencode(data) if data else None
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS | _PHONEME_IPA)
        if rate <= 0:
            raise RuntimeError("espeak-ng can't start: is its data installed?")
        self._rate = rate
        self._callback = _CALLBACK(self._take)  # kept: C holds a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def data(self):
        """The folder of the synthesiser's data."""
        path = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(path))
        return os.fsdecode(path.value)

    def _take(self, samples, count, events):
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type != _END:
            if events[i].type == _PHONEME:
                name = events[i].id.string.decode("utf-8", "ignore")
                self._phonemes.append((events[i].audio_position / 1000.0, name))
            i += 1
        return 0

    def speak(self, text, voice="en", speed=165, pitch=50, pitch_range=50, gap=0):
        """(samples at 16 kHz, float32 in -1..1; [(second at which it begins, IPA)])."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((_RATE, speed), (_VOLUME, 90), (_PITCH, pitch), (_RANGE, pitch_range), (_GAP, gap)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._pieces, self._phonemes = [], []
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        sound = np.concatenate(self._pieces).astype(np.float32) / 32768 if self._pieces else np.zeros(0, np.float32)
        return resample(sound, self._rate), self._phonemes


def resample(sound, rate):
    """To 16 kHz, by leaving out what the lower rate can't carry."""
    count = int(round(len(sound) * RATE / rate))
    if rate == RATE or count < 2:
        return sound
    spectrum = np.fft.rfft(sound)
    kept = np.zeros(count // 2 + 1, spectrum.dtype)
    n = min(len(kept), len(spectrum))
    kept[:n] = spectrum[:n]
    return (np.fft.irfft(kept, count) * (count / len(sound))).astype(np.float32)
