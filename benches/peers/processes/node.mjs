// Runs a module in node as a command line of an engine would:
//
//   node --no-warnings node.mjs [--dir HOST::GUEST]... [--invoke NAME] FILE [ARGUMENT]...
//
// Without --invoke it is a WASI program, and its exit code is this one's; with it, the export is called with the arguments as
// integers and its result is printed.
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const words = process.argv.slice(2);
const preopens = {};
let invoke;
for (; words[0]?.startsWith('--'); words.splice(0, 2)) {
  if (words[0] === '--dir') {
    const [host, guest] = words[1].split('::');
    preopens[guest] = host;
  } else if (words[0] === '--invoke') {
    invoke = words[1];
  } else {
    throw new Error(`no such option: ${words[0]}`);
  }
}
const [file, ...args] = words;

const wasi = new WASI({ version: 'preview1', args: [file, ...args], env: {}, preopens, returnOnExit: true });
const module = await WebAssembly.compile(readFileSync(file));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
if (invoke === undefined) {
  process.exitCode = wasi.start(instance);
} else {
  const run = instance.exports[invoke];
  const numbers = args.map((arg) => BigInt(arg));
  let result;
  try {
    result = run(...numbers.map(Number));
  } catch (error) {
    // Parameters of type i64 take no Number. That is found out before anything runs.
    if (!(error instanceof TypeError)) throw error;
    result = run(...numbers);
  }
  console.log(String(result));
}
