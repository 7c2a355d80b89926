// npm run docs: builds the site of the guides into .dev/docs. A warning is a failure.

import { join } from 'node:path';
import { lab, labEnvironment, setup } from './setup.mjs';
import { DEV, main, run, say } from './tools.mjs';

await main(() => {
  setup();
  const site = join(DEV, 'docs');
  say('Building the site');
  const options = ['-W', '--keep-going', '-q', '-c', 'docs'];
  run(lab('sphinx-build'), [...options, '.', site], labEnvironment());
  say(`Open ${join(site, 'index.html')}`);
});
