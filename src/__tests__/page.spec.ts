import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Signal } from '@lumino/signaling';
import { TabPanel, Widget } from '@lumino/widgets';
import { hasTabs, showPage } from '../page';

function shellOf(main: Widget[], more = {}) {
  return {
    add: jest.fn((page: Widget) => Widget.attach(page, document.body)),
    activateById: jest.fn(),
    expandRight: jest.fn(),
    widgets: () => main[Symbol.iterator](),
    ...more
  };
}

type Mock = ReturnType<typeof shellOf>;

let page: Widget;

const show = (shell: Mock) =>
  showPage(shell as unknown as JupyterFrontEnd.IShell, page);

beforeEach(() => {
  page = new Widget();
  page.id = 'the-page';
});

afterEach(() => page.dispose());

describe('a page of ours', () => {
  it('is a tab of JupyterLab, whatever else is open', () => {
    const shell = shellOf([new TabPanel()], { layoutModified: new Signal({}) });
    expect(hasTabs(shell as unknown as JupyterFrontEnd.IShell)).toBe(true);
    show(shell);
    expect(shell.add).toHaveBeenCalledWith(page, 'main');
    expect(shell.activateById).toHaveBeenCalledWith('the-page');
  });

  it('is a tab beside Jupyter Notebook’s files, once', () => {
    const tabs = new TabPanel();
    tabs.addWidget(new Widget());
    const shell = shellOf([tabs]);
    show(shell);
    tabs.currentIndex = 0;
    show(shell);
    expect(tabs.widgets).toHaveLength(2);
    expect(tabs.currentWidget).toBe(page);
    expect(shell.add).not.toHaveBeenCalled();
    tabs.dispose();
  });

  it('stands beside Jupyter Notebook’s notebook', () => {
    const shell = shellOf([new Widget()]);
    show(shell);
    expect(shell.add).toHaveBeenCalledWith(page, 'right');
    expect(shell.expandRight).toHaveBeenCalledWith('the-page');
  });
});
