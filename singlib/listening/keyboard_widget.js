// The keyboard in a notebook. Its notes come from the kernel before they are asked for: those of the keys that are shown
// first. Each is called by what plays it, its pitch and its velocity.
function render({model, el}) {
  const piano = document.createElement('div');
  const midi = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Connect a MIDI keyboard'});
  const inputs = Object.assign(document.createElement('span'), {role: 'status'});
  const below = Object.assign(document.createElement('p'), {className: 'midi'});
  below.append(midi, ' ', inputs);
  el.append(piano, below);

  const most = 512; // notes kept here, of 70 KB each
  const notes = new Map(); // name: FLAC
  const sounds = new Sounds();
  const voices = new Voices();
  const waiting = new Set(); // names of notes that are to sound as soon as they come
  const name = (pitch, velocity) => `${model.get('playing')} ${pitch} ${velocity}`;
  const nearest = (velocity) => model.get('velocities').reduce((best, one) => (Math.abs(one - velocity) < Math.abs(best - velocity) ? one : best));
  const decoded = (called) => sounds.get(called, () => notes.get(called).slice().buffer);
  let told; // timer: the kernel draws the last of keys that follow each other fast

  const keyboard = new Keyboard(piano, {
    press(pitch, velocity = model.get('velocity')) {
      const level = nearest(velocity);
      const called = name(pitch, level);
      voices.open();
      if (notes.has(called)) {
        voices.start(pitch, decoded(called));
      } else {
        waiting.add(called);
        model.send({want: [[pitch, level]], now: true});
      }
      clearTimeout(told);
      told = setTimeout(() => model.send({pressed: pitch, velocity: level}), 150);
    },
    release: (pitch) => voices.release(pitch),
    describe(pitch) {
      const trained = model.get('trained')[pitch] ?? 'note';
      return {kind: {note: '', pitch: 'near', never: 'never'}[trained], words: model.get('words')[trained]};
    },
    shown: () => want(),
    listen: el,
  });

  // Ask for the notes of the keys that are shown, from the middle outwards, and decode those that have come.
  function want() {
    const pitches = [...piano.querySelectorAll('.key')].map((key) => Number(key.dataset.pitch));
    const middle = (pitches[0] + pitches.at(-1)) / 2;
    pitches.sort((one, other) => Math.abs(one - middle) - Math.abs(other - middle));
    const level = model.get('velocity');
    model.send({want: pitches.filter((pitch) => !notes.has(name(pitch, level))).map((pitch) => [pitch, level])});
    for (const pitch of pitches) if (notes.has(name(pitch, level))) decoded(name(pitch, level));
  }

  const heard = ({note, pitch}, [bytes]) => {
    notes.set(note, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    if (notes.size > most) notes.delete(notes.keys().next().value);
    if (waiting.has(note)) {
      voices.start(pitch, decoded(note));
      if (![...keyboard.down.values()].includes(pitch)) voices.release(pitch);
      waiting.delete(note);
    } else {
      decoded(note);
    }
  };
  const mark = () => keyboard.mark(model.get('pitch'));
  const draw = () => keyboard.show(keyboard.first);
  model.on('msg:custom', heard);
  model.on('change:pitch', mark);
  model.on('change:trained change:playing change:velocity', draw);
  midi.onclick = () => {
    voices.open();
    connectMidi(keyboard, {say: (text) => (inputs.textContent = text), pedal: (down) => voices.press(down)});
  };
  keyboard.range(0, 127);
  mark();
  return () => {
    keyboard.gone.abort();
    voices.close();
    model.off('msg:custom', heard);
    model.off('change:pitch', mark);
    model.off('change:trained change:playing change:velocity', draw);
  };
}
export default {render};
