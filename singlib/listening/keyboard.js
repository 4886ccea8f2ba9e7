// A piano for a page or a notebook: keys for mouse, touch, computer keys and Web MIDI, and the voices that they sound.
// Plain JavaScript, put before the code that uses it: `Keyboard`, `Voices`, `Sounds`, `connectMidi`.

const NAMES = ['C', 'C♯', 'D', 'D♯', 'E', 'F', 'F♯', 'G', 'G♯', 'A', 'A♯', 'B'];
const WHITE = [0, 2, 4, 5, 7, 9, 11]; // semitones above C
// Keys by where they are, as every tracker has them: two rows of a piano. What is printed on them is learnt as they are used.
const LOWER = 'KeyZ KeyS KeyX KeyD KeyC KeyV KeyG KeyB KeyH KeyN KeyJ KeyM'.split(' ');
const UPPER = 'KeyQ Digit2 KeyW Digit3 KeyE KeyR Digit5 KeyT Digit6 KeyY Digit7 KeyU KeyI Digit9 KeyO Digit0 KeyP'.split(' ');
const STEPS = new Map([...LOWER, ...UPPER].map((code, step) => [code, step]));

const nameOf = (pitch) => NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1);
const hertz = (pitch) => 440 * 2 ** ((pitch - 69) / 12);

// Decoded notes; the least recently used beyond `most` are forgotten (768 KB each).
class Sounds {
  constructor(most = 96) {
    this.most = most;
    this.decoded = new Map();
    this.decoder = new OfflineAudioContext(1, 1, 48000);
  }

  // The note called `name`, decoded: an AudioBuffer if it is at hand, else a promise of one. `encoded` returns its bytes.
  get(name, encoded) {
    const known = this.decoded.get(name);
    this.decoded.delete(name);
    const sound = known ?? this.decoder.decodeAudioData(encoded()).then(
      (buffer) => {
        if (this.decoded.has(name)) this.decoded.set(name, buffer);
        return buffer;
      },
      (error) => {
        this.decoded.delete(name);
        throw error;
      },
    );
    this.decoded.set(name, sound);
    if (this.decoded.size > this.most) this.decoded.delete(this.decoded.keys().next().value);
    return sound;
  }
}

// Any number of notes at once, each with a short attack and, once its key is up, a release.
class Voices {
  static ATTACK = 0.003; // s
  static RELEASE = 0.08; // s, to 1/e

  constructor() {
    this.sounding = new Map(); // pitch: voice
    this.pedal = false;
    this.gone = new AbortController();
    // iOS allows sound when a finger is lifted, not when it is put down.
    for (const kind of ['pointerup', 'touchend', 'keydown']) {
      document.addEventListener(kind, () => this.context && this.open(), {signal: this.gone.signal});
    }
  }

  close() {
    this.gone.abort();
    this.context?.close();
  }

  // Browsers let a page sound only once it was touched, so this is first called by a key or a button.
  open() {
    if (!this.context) {
      this.context = new AudioContext({latencyHint: 'interactive'});
      const limit = new DynamicsCompressorNode(this.context, {threshold: -6, knee: 0, ratio: 20, attack: 0.001, release: 0.1});
      this.out = new GainNode(this.context, {gain: 0.7});
      this.out.connect(limit).connect(this.context.destination);
    }
    if (this.context.state !== 'running') this.context.resume(); // "interrupted" after a call, on a phone
    return this.context;
  }

  // Sound a key: `sound` is an AudioBuffer, a promise of one, or null; `sine` is the level of a sine at the key's pitch.
  async start(pitch, sound, {rate = 1, sine = 0} = {}) {
    const context = this.open();
    this.end(pitch);
    const voice = {held: true, ended: new GainNode(context)};
    this.sounding.set(pitch, voice);
    const buffer = sound instanceof Promise ? await sound : sound;
    if (context.state !== 'running') await context.resume(); // its time stands still until then
    const now = context.currentTime;
    const attack = new GainNode(context, {gain: 0});
    attack.gain.setValueAtTime(0, now);
    attack.gain.linearRampToValueAtTime(1, now + Voices.ATTACK);
    attack.connect(voice.ended).connect(this.out);
    const sources = [];
    if (buffer) {
      const source = new AudioBufferSourceNode(context, {buffer, playbackRate: rate});
      source.connect(attack);
      sources.push(source);
    }
    if (sine) {
      const source = new OscillatorNode(context, {frequency: hertz(pitch)});
      source.connect(new GainNode(context, {gain: sine})).connect(attack);
      sources.push(source);
    }
    for (const source of sources) source.start();
    voice.end = () => {
      voice.ended.gain.setTargetAtTime(0, context.currentTime, Voices.RELEASE);
      for (const source of sources) source.stop(context.currentTime + 8 * Voices.RELEASE);
    };
    if (voice.over) voice.end(); // let go before it was decoded: it sounds, briefly
  }

  // A key is up; with the pedal down its note goes on.
  release(pitch) {
    const voice = this.sounding.get(pitch);
    if (!voice) return;
    voice.held = false;
    if (!this.pedal) this.end(pitch);
  }

  end(pitch) {
    const voice = this.sounding.get(pitch);
    if (!voice) return;
    this.sounding.delete(pitch);
    voice.over = true;
    voice.end?.();
  }

  press(pedal) {
    this.pedal = pedal;
    if (!pedal) for (const [pitch, voice] of [...this.sounding]) if (!voice.held) this.end(pitch);
  }
}

// Keys in `element`, as many octaves as fit. `press(pitch, velocity)` and `release(pitch)` are called for each key, whatever
// pressed it; `describe(pitch)` returns {kind, words}: a class and what a tooltip says, kind "off" where a key is silent;
// `shown()` is called when other keys are shown. Computer keys are listened to on `listen`. There are no keys before `range`.
class Keyboard {
  constructor(element, {press, release, describe, shown = () => {}, listen = document}) {
    Object.assign(this, {element, press, release, describe, tell: shown});
    this.first = 48; // the lowest key shown, a C
    this.down = new Map(); // what holds a key: its pitch
    this.printed = new Map(); // code: what is printed on that computer key
    this.focused = 60;
    this.gone = new AbortController(); // aborted by who takes the keyboard away
    element.classList.add('piano');
    element.innerHTML = `<div class="octaves"><button type="button" aria-label="An octave lower">◀</button>
      <span aria-live="polite"></span><button type="button" aria-label="An octave higher">▶</button></div>
      <div class="keys" role="group" aria-label="Piano keys"></div>`;
    [this.lower, this.higher] = element.querySelectorAll('.octaves button');
    this.shown = element.querySelector('.octaves span');
    this.keys = element.querySelector('.keys');
    this.lower.onclick = () => this.show(this.first - 12);
    this.higher.onclick = () => this.show(this.first + 12);
    this.listenToPointers();
    listen.addEventListener('keydown', (event) => this.keyDown(event));
    this.always(document, 'keyup', (event) => this.up(event.code)); // also where the focus has left the keyboard
    this.always(window, 'blur', () => this.allUp());
    this.learn();
    new ResizeObserver(() => {
      const more = this.fit() - this.octaves; // NaN before there are keys
      if (more) this.show(this.first - 12 * Math.trunc(more / 2)); // the same middle
    }).observe(element);
  }

  // What is printed on the computer's keys, where the browser says it.
  async learn() {
    const known = await navigator.keyboard?.getLayoutMap?.().catch(() => undefined);
    for (const [code, letter] of known ?? []) if (STEPS.has(code)) this.printed.set(code, letter.toUpperCase());
    if (known) for (const [code, step] of STEPS) this.print(code, step);
  }

  print(code, step) {
    const place = this.keys.children[step]?.querySelector('kbd');
    if (place && this.printed.has(code)) place.textContent = this.printed.get(code);
  }

  always(target, kind, act) {
    target.addEventListener(kind, act, {signal: this.gone.signal});
  }

  // Offer the keys from a pitch to a pitch, and draw them anew: in their middle, if those shown had few of them.
  range(lowest, highest) {
    const within = (first) => Math.min(first + 12 * this.fit(), highest) - Math.max(first, lowest);
    const middle = 12 * Math.round((lowest + highest) / 24 - this.fit() / 2);
    const stay = this.lowest !== undefined && 2 * within(this.first) >= within(middle);
    [this.lowest, this.highest] = [lowest, highest];
    this.show(stay ? this.first : middle);
  }

  fit() {
    return Math.min(4, Math.max(1, Math.floor(this.element.clientWidth / 300)));
  }

  // Show the keys from a C on, or as near to it as the range has keys.
  show(first) {
    this.octaves = this.fit();
    // As far up as the highest key needs to be seen, and to be under a computer key.
    const reach = Math.min(12 * this.octaves, STEPS.size - 1);
    const last = Math.max(this.low(), 12 * Math.ceil((this.highest - reach) / 12));
    this.first = Math.min(Math.max(first, this.low()), last);
    const pitches = Array.from({length: 12 * this.octaves + 1}, (_, step) => this.first + step).filter((pitch) => pitch < 128);
    if (!pitches.includes(this.focused)) this.focused = this.first;
    const focus = this.keys.contains(document.activeElement);
    this.keys.replaceChildren(...pitches.map((pitch) => this.key(pitch)));
    if (focus) this.at(this.focused).focus();
    this.lower.disabled = this.first <= this.low();
    this.higher.disabled = this.first >= last;
    this.shown.textContent = `${nameOf(this.first)} to ${nameOf(pitches.at(-1))}`;
    this.tell();
  }

  low() {
    return 12 * Math.floor(this.lowest / 12);
  }

  key(pitch) {
    const key = document.createElement('button');
    const step = pitch - this.first;
    const white = WHITE.includes(pitch % 12);
    const before = 7 * Math.floor(step / 12) + WHITE.filter((semitones) => semitones < step % 12).length; // white keys
    const {kind, words} = this.describe(pitch);
    key.type = 'button';
    key.dataset.pitch = pitch;
    key.className = `key ${white ? 'white' : 'black'} ${kind}`;
    key.style.gridColumn = white ? `${3 * before + 1} / span 3` : `${3 * before} / span 2`;
    key.tabIndex = pitch === this.focused ? 0 : -1; // one stop of the Tab key for the whole keyboard; arrows move on
    key.title = `${nameOf(pitch)}, MIDI ${pitch}, ${hertz(pitch).toFixed(1)} Hz${words && `: ${words}`}`;
    key.setAttribute('aria-label', key.title);
    key.setAttribute('aria-disabled', kind === 'off');
    const code = [...STEPS.keys()][step];
    const letter = code && (this.printed.get(code) ?? code.replace(/Key|Digit/, ''));
    key.innerHTML = `<kbd aria-hidden="true">${letter ?? ''}</kbd><span aria-hidden="true">${pitch % 12 ? '' : nameOf(pitch)}</span>`;
    key.classList.toggle('down', [...this.down.values()].includes(pitch));
    key.classList.toggle('last', pitch === this.marked);
    return key;
  }

  // Mark a key as the one that is spoken of, and show it.
  mark(pitch) {
    this.marked = pitch;
    if (!this.at(pitch)) this.show(12 * Math.floor(pitch / 12) - 12 * Math.trunc(this.octaves / 2));
    for (const key of this.keys.children) key.classList.toggle('last', Number(key.dataset.pitch) === pitch);
  }

  at(pitch) {
    return this.keys.querySelector(`[data-pitch="${pitch}"]`);
  }

  // `holder` (a finger, a computer key, a MIDI key) presses a key.
  hold(holder, pitch, velocity) {
    if (this.down.get(holder) === pitch) return;
    this.up(holder);
    if (pitch < this.lowest || pitch > this.highest) return;
    this.down.set(holder, pitch);
    this.at(pitch)?.classList.add('down');
    this.press(pitch, velocity);
  }

  up(holder) {
    const pitch = this.down.get(holder);
    if (pitch === undefined) return;
    this.down.delete(holder);
    if ([...this.down.values()].includes(pitch)) return;
    this.at(pitch)?.classList.remove('down');
    this.release(pitch);
  }

  allUp() {
    for (const holder of [...this.down.keys()]) this.up(holder);
  }

  listenToPointers() {
    const under = (event) => Number(document.elementFromPoint(event.clientX, event.clientY)?.closest('.key')?.dataset.pitch ?? NaN);
    const slide = (event) => {
      const pitch = under(event);
      if (Number.isNaN(pitch)) this.up(event.pointerId);
      else this.hold(event.pointerId, pitch);
    };
    const touching = new Set(); // pointers that began on a key, and slide from one to the next
    const lift = (event) => {
      touching.delete(event.pointerId);
      this.up(event.pointerId);
    };
    this.keys.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      touching.add(event.pointerId);
      slide(event);
      const key = event.target.closest('.key');
      if (key) this.focus(Number(key.dataset.pitch), {preventScroll: true}); // else the page moves under the finger
    });
    this.always(window, 'pointermove', (event) => {
      if (!touching.has(event.pointerId)) return;
      if (event.pointerType === 'mouse' && !event.buttons) lift(event); // let go where this page did not hear of it
      else slide(event);
    });
    for (const end of ['pointerup', 'pointercancel']) this.always(window, end, lift);
    // Screen readers, voice control and switches click without a pointer: a short note.
    this.keys.addEventListener('click', (event) => {
      const key = event.target.closest('.key');
      if (!key || event.detail) return;
      this.hold('click', Number(key.dataset.pitch));
      setTimeout(() => this.up('click'), 600);
    });
    this.keys.addEventListener('keyup', (event) => event.code === 'Space' && event.preventDefault()); // it would click
    this.keys.addEventListener('contextmenu', (event) => event.preventDefault()); // of a long touch
  }

  focus(pitch, how) {
    if (pitch < Math.max(this.low(), 0) || pitch > Math.min(this.highest, 127)) return;
    this.focused = pitch;
    if (!this.at(pitch)) this.show(12 * Math.floor(pitch / 12) - (pitch < this.first ? 0 : 12 * (this.octaves - 1)));
    for (const key of this.keys.children) key.tabIndex = Number(key.dataset.pitch) === pitch ? 0 : -1;
    this.at(pitch)?.focus(how);
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.('select, textarea, input:not([type=radio])')) return;
    const step = STEPS.get(event.code);
    const focused = Number(event.target.closest?.('.key')?.dataset.pitch ?? NaN);
    const moves = {ArrowLeft: -1, ArrowRight: 1, PageDown: -12, PageUp: 12};
    if (step !== undefined) {
      if (event.key.length === 1 && !event.shiftKey) {
        this.printed.set(event.code, event.key.toUpperCase());
        this.print(event.code, step);
      }
      if (!event.repeat && step < this.keys.children.length) this.hold(event.code, this.first + step);
    } else if (!Number.isNaN(focused) && (event.code === 'Space' || event.code === 'Enter')) {
      if (!event.repeat) this.hold(event.code, focused);
    } else if (!Number.isNaN(focused) && event.code in moves) {
      this.focus(focused + moves[event.code]);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

// Play a keyboard by every MIDI input there is; `say(text)` tells what was found. The pedal (controller 64) is `pedal(down)`.
async function connectMidi(keyboard, {say, pedal}) {
  if (!navigator.requestMIDIAccess) return say('This browser has no Web MIDI (Chromium, Edge and Firefox have).');
  if (keyboard.connected) return keyboard.connected();
  let access;
  try {
    access = await navigator.requestMIDIAccess();
  } catch (error) {
    return say(`The browser did not allow MIDI: ${error.message}`);
  }
  const silence = () => {
    pedal(false);
    keyboard.allUp();
  };
  const heard = (input) => ({data: [status, number, value = 0]}) => {
    const holder = `${input.id} ${status & 15} ${number}`;
    const message = status & 0xf0;
    if (message === 0x90 && value) keyboard.hold(holder, number, value);
    else if (message === 0x80 || message === 0x90) keyboard.up(holder);
    else if (message === 0xb0 && number === 64) pedal(value >= 64);
    else if (message === 0xb0 && number === 121) pedal(false); // all controllers reset
    else if (message === 0xb0 && (number === 120 || number >= 123)) silence(); // all sound, or all notes, off
  };
  const listen = () => {
    silence(); // the keys of one that was unplugged
    const inputs = [...access.inputs.values()].filter((input) => input.state !== 'disconnected');
    for (const input of inputs) input.onmidimessage = heard(input);
    say(inputs.length ? `MIDI: ${inputs.map((input) => input.name).join(', ')}` : 'No MIDI keyboard is connected; plug one in.');
  };
  access.onstatechange = keyboard.connected = listen;
  keyboard.always(window, 'blur', () => pedal(false));
  keyboard.gone.signal.addEventListener('abort', () => {
    access.onstatechange = null;
    for (const input of access.inputs.values()) input.onmidimessage = null;
  });
  listen();
}
