// npm run benchmark: measures side by side and prints one table. Options go behind `--`.

import { join } from 'node:path';
import { lab, labEnvironment, PYSPARK, setup } from './setup.mjs';
import { attempt, main, ROOT, say } from './tools.mjs';

await main(() => {
  setup();
  say('Measuring');
  const script = join(ROOT, 'benchmarks', 'run.py');
  const options = ['--environment', PYSPARK, ...process.argv.slice(2)];
  return attempt(lab('python'), [script, ...options], labEnvironment());
});
