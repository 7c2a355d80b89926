import {
  addIcon,
  caretDownIcon,
  caretUpIcon,
  downloadIcon,
  type LabIcon,
  refreshIcon,
  undoIcon,
  VDomRenderer
} from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';
import { showErrorMessage } from '@jupyterlab/apputils';
import type { Kernel } from '../api';
import { actionsOf, create, importKernel, undo } from './actions';
import { showFlight } from './dialogs';
import type { ManagerModel } from './model';
import { Menu } from './menu';
import { type IRowEvents, Row } from './row';
import { type Column, keyOf } from './rows';
import '../../style/base.css';
import '../../style/manager.css';

/**
 * The panel of all kernels.
 */
export class ManagerView extends VDomRenderer<ManagerModel> {
  constructor(model: ManagerModel) {
    super(model);
    this.addClass('jp-PySparkKernels-Manager');
  }

  dispose(): void {
    this.model?.dispose();
    super.dispose();
  }

  protected render(): JSX.Element {
    return <Manager model={this.model} />;
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.model.isShown = true;
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.model.isShown = this.isVisible;
  }

  protected onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.model.isShown = false;
  }

  /**
   * The keyboard begins at the search.
   */
  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    const { activeElement } = document;
    const isInside =
      activeElement !== this.node && this.node.contains(activeElement);
    if (!isInside) {
      // JupyterLab has focused the panel itself, which no key leads on from.
      void this.renderPromise?.then(() =>
        this.node.querySelector<HTMLElement>('[type="search"]')?.focus()
      );
    }
  }
}

function Manager({ model }: { model: ManagerModel }): JSX.Element {
  const { kernels, rows, problem, services, search } = model;
  const { trans } = services;
  return (
    <>
      <Toolbar model={model} />
      <div className="jp-PySparkKernels-error" role="alert">
        {problem && <p>{problem}</p>}
      </div>
      {kernels?.length === 0 ? (
        <Empty model={model} />
      ) : (
        <KernelTable model={model} />
      )}
      {kernels !== null && kernels.length > 0 && rows.length === 0 && (
        <p className="jp-PySparkKernels-empty">
          {trans.__('No kernel has all of “%1”.', search)}
        </p>
      )}
      {rows.length > 0 && (
        <p className="jp-PySparkKernels-keys" id="jp-pyspark-kernels-keys">
          {trans.__(
            'Arrow keys: go to another kernel · Enter: edit · F2: rename · Delete: delete · Shift+F10: more actions'
          )}
        </p>
      )}
    </>
  );
}

function Toolbar({ model }: { model: ManagerModel }): JSX.Element {
  const { trans } = model.services;
  const { kernels, rows, search } = model;
  return (
    <div
      className="jp-PySparkKernels-toolbar"
      role="group"
      aria-label={trans.__('PySpark Kernels')}
    >
      <input
        type="search"
        className="jp-PySparkKernels-input"
        aria-label={trans.__('Search the kernels')}
        placeholder={trans.__('Name, environment, master, place, owner')}
        value={search}
        onChange={({ target }) => {
          model.search = target.value;
        }}
      />
      <span className="jp-PySparkKernels-count" role="status">
        {kernels === null
          ? trans.__('Looking…')
          : rows.length === kernels.length
            ? trans._n('%1 kernel', '%1 kernels', kernels.length)
            : trans.__('%1 of %2 kernels', rows.length, kernels.length)}
      </span>
      <Tool
        icon={addIcon}
        label={trans.__('Create')}
        onClick={() => void create(model)}
      />
      <Tool
        icon={downloadIcon}
        label={trans.__('Import…')}
        onClick={() => void importKernel(model)}
      />
      <Tool
        icon={undoIcon}
        label={trans.__('Undo')}
        title={trans.__('Take back the last change of a kernel')}
        onClick={() => void undo(model)}
      />
      <Tool
        icon={refreshIcon}
        label={trans.__('Refresh')}
        onClick={() => void model.load()}
      />
    </div>
  );
}

function Tool(props: {
  icon: LabIcon;
  label: string;
  title?: string;
  onClick: () => void;
}): JSX.Element {
  const { icon: Icon, label, title, onClick } = props;
  return (
    <button
      type="button"
      className="jp-PySparkKernels-button jp-mod-tool"
      title={title ?? label}
      onClick={onClick}
    >
      <Icon.react tag="span" />
      <span>{label}</span>
    </button>
  );
}

function Empty({ model }: { model: ManagerModel }): JSX.Element {
  const { trans } = model.services;
  return (
    <div className="jp-PySparkKernels-empty">
      <p>
        {trans.__(
          'There is no PySpark kernel yet. A kernel binds one Python environment to one Spark configuration, and notebooks choose it by its name.'
        )}
      </p>
      <button
        type="button"
        className="jp-PySparkKernels-button"
        onClick={() => void create(model)}
      >
        {trans.__('Create a Kernel')}
      </button>
    </div>
  );
}

interface IOpenMenu {
  key: string;
  at: { x: number; y: number };
}

function KernelTable({ model }: { model: ManagerModel }): JSX.Element {
  const { rows, current, places, services } = model;
  const { trans } = services;
  const body = React.useRef<HTMLTableSectionElement>(null);
  const [menu, setMenu] = React.useState<IOpenMenu | null>(null);
  const events = React.useMemo(() => eventsOf(model, setMenu), [model]);
  useKeptFocus(body, current);
  const opened = menu && rows.find(kernel => keyOf(kernel) === menu.key);
  const closeMenu = React.useCallback(() => {
    setMenu(null);
    rowOf(body.current, model.current)?.focus({ preventScroll: true });
  }, [model]);
  React.useEffect(() => {
    if (menu && !opened) {
      closeMenu();
    }
  });
  return (
    <div className="jp-PySparkKernels-list">
      <table
        // The grid of its rows would take the meaning of a table away.
        role="table"
        className="jp-PySparkKernels-kernels"
        aria-label={trans.__('PySpark kernels')}
        aria-describedby="jp-pyspark-kernels-keys"
        aria-busy={model.isLoading}
      >
        <Head model={model} />
        <tbody
          ref={body}
          role="rowgroup"
          onKeyDown={event => onKeyDown(event, model, body.current, events)}
        >
          {rows.map(kernel => {
            const key = keyOf(kernel);
            return (
              <Row
                key={key}
                kernel={kernel}
                places={places}
                test={model.testOf(key)}
                isCurrent={key === current}
                hasMenu={key === menu?.key}
                events={events}
                trans={trans}
              />
            );
          })}
        </tbody>
      </table>
      {opened && (
        <Menu
          label={trans.__('Actions for %1', opened.display_name)}
          actions={actionsOf(opened, model)}
          at={menu.at}
          onClose={closeMenu}
        />
      )}
    </div>
  );
}

function Head({ model }: { model: ManagerModel }): JSX.Element {
  const { trans } = model.services;
  const titles: Record<Column, string> = {
    kernel: trans.__('Kernel'),
    place: trans.__('Available to'),
    environment: trans.__('Environment'),
    master: trans.__('Master'),
    used: trans.__('Last used'),
    test: trans.__('Last test')
  };
  const { column: by, descending } = model.sort;
  const Arrow = descending ? caretDownIcon : caretUpIcon;
  return (
    <thead role="rowgroup">
      <tr role="row">
        {(Object.keys(titles) as Column[]).map(column => (
          <th
            key={column}
            scope="col"
            role="columnheader"
            data-column={column}
            aria-sort={
              column !== by ? 'none' : descending ? 'descending' : 'ascending'
            }
          >
            <button type="button" onClick={() => model.sortBy(column)}>
              {titles[column]}
              {column === by && <Arrow.react tag="span" />}
            </button>
          </th>
        ))}
        <th scope="col" role="columnheader" data-column="actions">
          <span className="jp-PySparkKernels-heard">{trans.__('Actions')}</span>
        </th>
        <th scope="col" role="columnheader" className="jp-PySparkKernels-heard">
          {trans.__('Remarks')}
        </th>
      </tr>
    </thead>
  );
}

/**
 * Give what rows call. It looks up the kernel when it is called: that may be another one by then.
 */
function eventsOf(
  model: ManagerModel,
  setMenu: (menu: IOpenMenu | null) => void
): IRowEvents {
  return {
    onFocus: key => {
      model.current = key;
    },
    onEdit: key => void act(model, key, 'edit'),
    onMenu: (key, at) => {
      model.current = key;
      setMenu({ key, at });
    },
    onResult: key => {
      const kernel = kernelOf(model, key);
      const test = model.testOf(key);
      if (kernel && test) {
        void showFlight(model.services, kernel, test);
      }
    }
  };
}

function kernelOf(model: ManagerModel, key: string): Kernel | undefined {
  return model.rows.find(kernel => keyOf(kernel) === key);
}

/**
 * Do what a key or a button of a row is for, or say why not.
 */
async function act(
  model: ManagerModel,
  key: string,
  id: string
): Promise<void> {
  const kernel = kernelOf(model, key);
  const action =
    kernel && actionsOf(kernel, model).find(action => action.id === id);
  if (!kernel || !action) {
    return;
  }
  if (action.reason === null) {
    await action.run();
  } else {
    const { trans } = model.services;
    await showErrorMessage(
      trans.__('“%1” was not changed', kernel.display_name),
      action.reason
    );
  }
}

/** The keys of a row, and what each does. */
const KEYS: Record<string, string> = {
  Enter: 'edit',
  F2: 'rename',
  Delete: 'delete'
};

function onKeyDown(
  event: React.KeyboardEvent,
  model: ManagerModel,
  body: HTMLElement | null,
  events: IRowEvents
): void {
  const { key, shiftKey, target } = event;
  const { current, rows } = model;
  if (current === null) {
    return;
  }
  const isMenu = key === 'ContextMenu' || (key === 'F10' && shiftKey);
  const isOnButton = target instanceof HTMLButtonElement;
  if (isMenu) {
    const row = rowOf(body, current);
    const { left, top } = (row ?? event.currentTarget).getBoundingClientRect();
    events.onMenu(current, { x: left + MENU_INSET, y: top + MENU_INSET });
  } else if (key in KEYS && !(key === 'Enter' && isOnButton)) {
    void act(model, current, KEYS[key]);
  } else {
    const index = rows.findIndex(row => keyOf(row) === current);
    const next = nextIndex(key, index, rows.length);
    if (next === null) {
      return;
    }
    rowOf(body, keyOf(rows[next]))?.focus();
  }
  event.preventDefault();
  event.stopPropagation();
}

const MENU_INSET = 24;

function nextIndex(key: string, index: number, count: number): number | null {
  switch (key) {
    case 'ArrowDown':
      return Math.min(index + 1, count - 1);
    case 'ArrowUp':
      return Math.max(index - 1, 0);
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return null;
  }
}

function rowOf(
  body: HTMLElement | null,
  key: string | null
): HTMLElement | null {
  const rows = [...(body?.children ?? [])] as HTMLElement[];
  return rows.find(row => row.dataset.kernel === key) ?? null;
}

/**
 * Keep the focus in the table when the row that had it is gone, or has another name.
 */
function useKeptFocus(
  body: React.RefObject<HTMLElement>,
  current: string | null
): void {
  const had = body.current?.contains(document.activeElement) ?? false;
  React.useLayoutEffect(() => {
    const { activeElement } = document;
    const isLost = activeElement === null || activeElement === document.body;
    if (had && isLost) {
      rowOf(body.current, current)?.focus();
    }
  });
}
