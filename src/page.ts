/**
 * Where a page of ours is shown. It is small, and in the chunks of those who show one: one of its own
 * would be named in what is loaded at the start.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { TabPanel, type Widget } from '@lumino/widgets';
import type { Shell } from './running/shown';

/**
 * What Jupyter Notebook's shell has: one page fills it, and others can stand beside that.
 */
type NotebookShell = JupyterFrontEnd.IShell & {
  expandRight(id: string): void;
};

/**
 * Tell whether there can be several pages: Jupyter Notebook drops all but the first, silently.
 */
export function hasTabs(shell: Shell): boolean {
  return shell.layoutModified !== undefined;
}

/**
 * Show a page and bring it to the front: in a tab, where Jupyter Notebook has its files, or beside
 * its notebook.
 */
export function showPage(shell: Shell, page: Widget): void {
  const [only] = hasTabs(shell) ? [] : shell.widgets('main');
  if (only instanceof TabPanel) {
    if (!page.isAttached) {
      only.addWidget(page);
    }
    only.currentWidget = page;
  } else if (only) {
    if (!page.isAttached) {
      shell.add(page, 'right');
    }
    (shell as NotebookShell).expandRight(page.id);
  } else {
    if (!page.isAttached) {
      shell.add(page, 'main');
    }
    shell.activateById(page.id);
  }
}
