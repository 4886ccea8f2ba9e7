"""What a page hands to the loudspeaker, recorded in the browser; and a MIDI keyboard that is none."""

import base64
import json

import librosa
import numpy as np

# Beside the loudspeaker, a recorder: blocks of 128 samples by their frame. Presses are in seconds of the context.
RECORDER = """
class Recorder extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage([currentFrame, input[0].slice()]);
    return true;
  }
}
registerProcessor('recorder', Recorder);
"""
TAP = f"""
const Context = window.AudioContext, connect = AudioNode.prototype.connect;
window.heard = []; window.presses = [];
window.AudioContext = class extends Context {{
  constructor(options) {{
    super(options);
    window.context = this;
    const module = 'data:text/javascript,' + encodeURIComponent({json.dumps(RECORDER)});
    window.ready = this.audioWorklet.addModule(module).then(() => {{
      const mono = {{numberOfOutputs: 0, channelCount: 1, channelCountMode: 'explicit'}};
      this.tap = new AudioWorkletNode(this, 'recorder', mono);
      this.tap.port.onmessage = (message) => window.heard.push(message.data);
      for (const node of this.waiting ?? []) connect.call(node, this.tap);
    }});
  }}
}};
AudioNode.prototype.connect = function (target, ...rest) {{
  if (target instanceof AudioDestinationNode && this.context === window.context) {{
    this.context.tap ? connect.call(this, this.context.tap) : (this.context.waiting ??= []).push(this);
  }}
  return connect.call(this, target, ...rest);
}};
const decode = BaseAudioContext.prototype.decodeAudioData;
window.decoded = 0;
BaseAudioContext.prototype.decodeAudioData = function (...given) {{
  return decode.apply(this, given).then((sound) => (window.decoded++, sound));
}};
for (const kind of ['keydown', 'pointerdown', 'midi']) {{
  addEventListener(kind, () => window.presses.push(window.context ? window.context.currentTime : 0), true);
}}
window.piano = {{id: '1', name: 'A fake piano', state: 'connected'}};
window.midi = {{inputs: new Map([['1', window.piano]])}};
navigator.requestMIDIAccess = async () => window.midi;
window.unplug = () => {{ window.piano.state = 'disconnected'; window.midi.onstatechange(); }};
window.send = (...data) => {{ dispatchEvent(new Event('midi')); window.piano.onmidimessage({{data}}); }};
"""
RECORDING = """() => {
    const last = heard.at(-1), sound = new Float32Array(last[0] + 128);
    for (const [frame, block] of heard) sound.set(block, frame);
    let text = '';
    for (const byte of new Uint8Array(sound.buffer)) text += String.fromCharCode(byte);
    return {text: btoa(text), presses, rate: context.sampleRate};
}"""


def recorded(tab):
    found = tab.evaluate(RECORDING)
    return np.frombuffer(base64.b64decode(found["text"]), np.float32), found["presses"], found["rate"]


def tune(sound, rate, pitch):
    """Return by how many cents a sound is off a pitch."""
    found = librosa.yin(sound, fmin=50, fmax=1500, sr=rate, frame_length=4096)
    return 1200 * np.log2(np.median(found) / librosa.midi_to_hz(pitch))


def partial(sound, rate, pitch):
    """Return the magnitude of a sound at the frequency of a pitch."""
    turns = np.exp(-2j * np.pi * librosa.midi_to_hz(pitch) * np.arange(len(sound)) / rate)
    return np.abs((sound * np.hanning(len(sound))) @ turns) / len(sound)
