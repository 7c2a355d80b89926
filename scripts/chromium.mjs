// What tests in the browser need, and where they report.

import { join } from 'node:path';
import { DEV, Failure, run, say, which } from './tools.mjs';

/** Where tests tell what came of them. */
export const REPORTS = join(DEV, 'reports');

/** The system's Chromium; on Debian as root it is installed. */
export function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const found = process.env.CHROMIUM ?? which(...names);
  if (found) {
    return found;
  }
  if (process.getuid?.() !== 0 || !which('apt-get')) {
    throw new Failure(
      'There is no Chromium. Install it, or name it in CHROMIUM.'
    );
  }
  say('Installing Chromium');
  run('apt-get', ['update', '--quiet']);
  run(
    'apt-get',
    ['install', '--yes', '--quiet', '--no-install-recommends', 'chromium'],
    {
      DEBIAN_FRONTEND: 'noninteractive'
    }
  );
  return which(...names);
}
