// A set of small programs, one line of result each. Sizes are arguments of
// the calls at the end. No clock and no Math.random: the output is fixed.
'use strict';

function randomSource(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % bound;
  };
}

// An operating system in small: tasks with priorities send packets to each
// other through a round-robin scheduler.
class Packet {
  constructor(kind, value) {
    this.kind = kind;
    this.value = value;
    this.next = null;
  }
}

class Task {
  constructor(system, id, priority) {
    this.system = system;
    this.id = id;
    this.priority = priority;
    this.queue = null;
    this.held = 0;
    this.runs = 0;
  }
  receive(packet) {
    packet.next = null;
    if (!this.queue) {
      this.queue = packet;
      return;
    }
    let last = this.queue;
    while (last.next) last = last.next;
    last.next = packet;
  }
  take() {
    const packet = this.queue;
    this.queue = packet.next;
    return packet;
  }
  ready() {
    return this.queue !== null && this.held === 0;
  }
  step() {
    this.runs++;
    this.handle(this.take());
  }
}

class Worker extends Task {
  handle(packet) {
    packet.value = (packet.value * 31 + this.id) % 65521;
    packet.kind = packet.kind === 'job' ? 'data' : 'job';
    this.system.send((this.id + 1) % this.system.tasks.length, packet);
  }
}

class Handler extends Task {
  constructor(system, id, priority) {
    super(system, id, priority);
    this.sum = 0;
  }
  handle(packet) {
    if (packet.kind === 'job') this.sum = (this.sum + packet.value) % 1000003;
    else this.sum ^= packet.value;
    this.system.hold(this.id, 1 + (packet.value & 3));
    this.system.send((this.id * 3 + packet.value) % this.system.tasks.length, packet);
  }
}

class System {
  constructor(workers, handlers, packets) {
    this.tasks = [];
    this.sent = 0;
    for (let i = 0; i < workers; i++) this.tasks.push(new Worker(this, i, i % 3));
    for (let i = 0; i < handlers; i++) {
      this.tasks.push(new Handler(this, workers + i, 2 + (i % 4)));
    }
    for (let i = 0; i < packets; i++) {
      this.tasks[i % this.tasks.length].receive(new Packet(i & 1 ? 'job' : 'data', i * 17));
    }
  }
  send(to, packet) {
    this.sent++;
    this.tasks[to].receive(packet);
  }
  hold(id, ticks) {
    this.tasks[id].held = ticks;
  }
  run(ticks) {
    for (let tick = 0; tick < ticks; tick++) {
      let best = null;
      for (const task of this.tasks) {
        if (task.held > 0) task.held--;
        if (task.ready() && (best === null || task.priority + task.queue.value % 5 > best.priority)) {
          best = task;
        }
      }
      if (best) best.step();
    }
    const runs = this.tasks.map((task) => task.runs).join(',');
    const sum = this.tasks.reduce((s, task) => s + (task.sum || 0), 0);
    return `${this.sent} ${sum} ${runs}`;
  }
}

// One-way constraints between cells, recomputed in dependency order.
class Cell {
  constructor(value) {
    this.value = value;
    this.rule = null;
    this.readers = new Set();
    this.mark = 0;
  }
  define(inputs, compute) {
    this.rule = { inputs, compute };
    for (const input of inputs) input.readers.add(this);
  }
}

class Plan {
  constructor() {
    this.mark = 0;
    this.evaluations = 0;
  }
  set(cell, value) {
    cell.value = value;
    const order = [];
    this.mark++;
    this.visit(cell, order);
    for (let i = order.length - 2; i >= 0; i--) {
      const { inputs, compute } = order[i].rule;
      order[i].value = compute(...inputs.map((input) => input.value));
      this.evaluations++;
    }
  }
  visit(cell, order) {
    if (cell.mark === this.mark) return;
    cell.mark = this.mark;
    for (const reader of cell.readers) this.visit(reader, order);
    order.push(cell);
  }
}

function constraints(length, rounds) {
  const plan = new Plan();
  const chain = [new Cell(1)];
  const scale = new Cell(3);
  for (let i = 1; i < length; i++) {
    const cell = new Cell(0);
    if (i % 4 === 0) cell.define([chain[i - 1], scale], (a, s) => (a * s + i) % 9973);
    else if (i % 7 === 0) cell.define([chain[i - 1], chain[i - 3]], (a, b) => (a ^ b) + 1);
    else cell.define([chain[i - 1]], (a) => a + 1);
    chain.push(cell);
  }
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    plan.set(round % 5 === 0 ? scale : chain[0], (round % 11) + 1);
    sum = (sum * 7 + chain[length - 1].value) % 1000003;
  }
  return `${plan.evaluations} ${sum}`;
}

// A tokenizer and evaluator for arithmetic, driven by a sticky regex.
function calculator(lines) {
  const random = randomSource(5);
  const token = /\s*(?:(\d+(?:\.\d+)?)|([a-z_]\w*)|([-+*\/()=]))/y;
  const variables = new Map([['x', 1], ['y', 2], ['z', 3]]);
  const tokenize = (text) => {
    const tokens = [];
    token.lastIndex = 0;
    let match;
    while (token.lastIndex < text.length && (match = token.exec(text))) {
      if (match[1] !== undefined) tokens.push(Number(match[1]));
      else tokens.push(match[2] || match[3]);
    }
    return tokens;
  };
  const evaluate = (tokens) => {
    let at = 0;
    const factor = () => {
      const t = tokens[at++];
      if (typeof t === 'number') return t;
      if (t === '-') return -factor();
      if (t === '(') {
        const value = sum();
        at++;
        return value;
      }
      if (!variables.has(t)) throw new ReferenceError(t);
      return variables.get(t);
    };
    const product = () => {
      let value = factor();
      while (tokens[at] === '*' || tokens[at] === '/') {
        if (tokens[at++] === '*') value *= factor();
        else value /= factor() || 1;
      }
      return value;
    };
    const sum = () => {
      let value = product();
      while (tokens[at] === '+' || tokens[at] === '-') {
        if (tokens[at++] === '+') value += product();
        else value -= product();
      }
      return value;
    };
    return sum();
  };
  let total = 0;
  let unknown = 0;
  const names = ['x', 'y', 'z', 'oops'];
  for (let i = 0; i < lines; i++) {
    const text = `(${random(100)} + ${names[random(3)]}) * 2.5 - ${random(50)} / (` +
      `${names[random(12) === 0 ? 3 : random(3)]} + ${1 + random(9)})`;
    try {
      const value = evaluate(tokenize(text));
      variables.set(names[i % 3], value % 10);
      total += value;
    } catch (error) {
      if (!(error instanceof ReferenceError)) throw error;
      unknown++;
    }
  }
  return `${total.toFixed(6)} ${unknown}`;
}

function regex(lines) {
  const random = randomSource(6);
  const hosts = ['alpha', 'beta', 'gamma'];
  const log = [];
  for (let i = 0; i < lines; i++) {
    log.push(`2001-${String(1 + random(12)).padStart(2, '0')}-${String(1 + random(28)).padStart(2, '0')} ` +
      `host=${hosts[random(3)]} status=${200 + 100 * random(4)} time=${random(5000)}ms ` +
      `path="/a/${random(50)}/b?q=${random(1000).toString(36)}"`);
  }
  const text = log.join('\n');
  const line = /^(?<year>\d{4})-(?<month>\d\d)-\d\d host=(\w+) status=(\d+) time=(\d+)ms path="([^"]*)"$/gm;
  const perHost = {};
  let total = 0;
  for (const match of text.matchAll(line)) {
    perHost[match[3]] = (perHost[match[3]] || 0) + Number(match[5]);
    total += Number(match.groups.month) * Number(match[4]);
  }
  const replaced = text.replace(/(\w+)=(\w+)/g, (_, key, value) => `${value}:${key}`);
  const slow = text.match(/time=(?:4[5-9]\d\d)ms(?= path="\/a\/1)/g).length;
  const pieces = text.split(/[\s"]+/).length;
  return `${hosts.map((h) => perHost[h]).join(' ')} ${total} ${replaced.length} ${slow} ${pieces}`;
}

function json(records) {
  const random = randomSource(7);
  const data = [];
  for (let i = 0; i < records; i++) {
    data.push({
      id: i,
      name: `näme "${random(1000)}"\t\u2713`,
      tags: Array.from({ length: random(5) }, () => random(100)),
      nested: { ratio: random(1000) / 8, flag: random(2) === 1, none: null },
    });
  }
  const text = JSON.stringify(data);
  const back = JSON.parse(text, (key, value) => (key === 'ratio' ? value * 2 : value));
  const pretty = JSON.stringify(back, ['id', 'nested', 'ratio'], 2);
  let sum = 0;
  for (const { id, tags, nested: { ratio, flag } } of back) {
    sum += ratio + (flag ? id : 0) + tags.reduce((a, b) => a + b, 0);
  }
  return `${text.length} ${pretty.length} ${sum}`;
}

function sorting(n) {
  const random = randomSource(8);
  const numbers = new Float64Array(n).map(() => random(1000000) / 4).sort();
  const objects = Array.from({ length: n }, (_, id) => ({ id, key: random(500), s: random(1e6).toString(36) }));
  objects.sort((a, b) => a.key - b.key);
  let stable = true;
  for (let i = 1; i < n; i++) {
    if (objects[i - 1].key === objects[i].key && objects[i - 1].id > objects[i].id) stable = false;
  }
  const words = objects.map((o) => o.s).sort();
  let sum = 0;
  for (let i = 0; i < n; i++) sum = (sum * 31 + numbers[i] * 4 + objects[i].id) % 1000003;
  return `${stable} ${sum} ${words[0]} ${words[n >> 1]} ${words[n - 1]}`;
}

function bigints(digits, terms) {
  // Digits of pi from Machin's formula, then a modular power and a factorial.
  const unit = 10n ** BigInt(digits + 10);
  const arctan = (inverse) => {
    let power = unit / inverse;
    let sum = power;
    const square = inverse * inverse;
    for (let k = 3n, sign = -1n; power !== 0n; k += 2n, sign = -sign) {
      power /= square;
      sum += (sign * power) / k;
    }
    return sum;
  };
  const pi = String((4n * (4n * arctan(5n) - arctan(239n))) / 10n ** 10n);
  const modPow = (base, exponent, modulus) => {
    let result = 1n;
    for (; exponent > 0n; exponent >>= 1n, base = (base * base) % modulus) {
      if (exponent & 1n) result = (result * base) % modulus;
    }
    return result;
  };
  let factorial = 1n;
  for (let i = 2n; i <= BigInt(terms); i++) factorial *= i;
  const hex = factorial.toString(16);
  const prime = (1n << 127n) - 1n;
  return `${pi.slice(0, 10)}..${pi.slice(-10)} ${modPow(3n, (1n << 200n) + 12345n, prime)} ` +
    `${hex.length} ${hex.slice(0, 12)} ${BigInt.asIntN(64, factorial >> 900n)}`;
}

function maps(n) {
  const random = randomSource(9);
  const counts = new Map();
  const seen = new Set();
  for (let i = 0; i < n; i++) {
    const key = `k${random(n >> 3)}`;
    counts.set(key, (counts.get(key) || 0) + 1);
    if (i % 5 === 0) counts.delete(`k${random(n >> 3)}`);
    seen.add(random(n));
  }
  let top = ['', 0];
  for (const entry of counts) if (entry[1] > top[1]) top = entry;
  const weak = new WeakMap();
  const keys = [...seen].slice(0, 1000).map((value) => ({ value }));
  keys.forEach((key) => weak.set(key, key.value));
  return `${counts.size} ${seen.size} ${top.join(':')} ${keys.reduce((s, key) => s + weak.get(key), 0)}`;
}

function* primes(limit) {
  const composite = new Uint8Array(limit + 1);
  for (let i = 2; i <= limit; i++) {
    if (composite[i]) continue;
    yield i;
    for (let j = i * i; j <= limit; j += i) composite[j] = 1;
  }
}

function generators(limit) {
  let count = 0;
  let sum = 0;
  for (const p of primes(limit)) {
    count++;
    sum = (sum * 3 + p) % 1000003;
  }
  const [first, , third, ...rest] = primes(30);
  return `${count} ${sum} ${first} ${third} ${rest.length}`;
}

function matrices(n) {
  const make = (f) => Float64Array.from({ length: n * n }, (_, i) => f(Math.floor(i / n), i % n));
  const a = make((i, j) => 1 / (i + j + 1));
  const b = make((i, j) => (i === j ? 2 : 0.5 * Math.sin(i - j)));
  const c = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
      c[i * n + j] = sum;
    }
  }
  let trace = 0;
  for (let i = 0; i < n; i++) trace += c[i * n + i];
  return trace.toFixed(9);
}

function strings(n) {
  const random = randomSource(10);
  let text = '';
  for (let i = 0; i < n; i++) text += String.fromCharCode(97 + random(26));
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  const reversed = [...text].reverse().join('');
  let found = 0;
  for (let at = text.indexOf('ab'); at >= 0; at = text.indexOf('ab', at + 1)) found++;
  const table = '\u00e9\u{1F600}z'.repeat(3);
  return `${hash} ${reversed.slice(0, 8)} ${found} ${table.length} ${[...table].length} ` +
    `${text.slice(0, 6).toUpperCase()} ${encodeURIComponent(table).length}`;
}

async function jobs(n) {
  let sum = 0;
  const work = async (i) => {
    await null;
    if (i % 10 === 9) throw new Error(`job ${i}`);
    return i * 2;
  };
  for (let i = 0; i < n; i++) {
    try {
      sum += await work(i);
    } catch (error) {
      sum -= Number(error.message.slice(4));
    }
  }
  const all = await Promise.allSettled([work(1), work(9), 3]);
  return `${sum} ${all.map((r) => r.status).join(' ')}`;
}

function report(name, value) {
  console.log(`${name}: ${value}`);
}

report('system', new System(4, 6, 24).run(12000));
report('constraints', constraints(120, 150));
report('calculator', calculator(1200));
report('regex', regex(500));
report('json', json(900));
report('sorting', sorting(5000));
report('bigints', bigints(1000, 800));
report('maps', maps(16000));
report('generators', generators(60000));
report('matrices', matrices(56));
report('strings', strings(16000));
jobs(2000).then((value) => report('jobs', value));
