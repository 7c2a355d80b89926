import { Time } from '@jupyterlab/coreutils';
import { ellipsesIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Kernel, KernelTest, Place, Task } from '../api';
import type { TaskModel } from '../tasks/model';
import { progressText } from '../tasks/texts';
import { useTaskView } from '../tasks/view';
import { isShared, keyOf, marksOf, shortPath } from './rows';

/**
 * What a row tells of what a person does with it. It never changes, so that a row is drawn anew
 * only when its kernel is another one.
 */
export interface IRowEvents {
  onFocus: (key: string) => void;
  onEdit: (key: string) => void;
  /** @param at - a point of the window. */
  onMenu: (key: string, at: { x: number; y: number }) => void;
  onResult: (key: string) => void;
}

export interface IRowProps {
  kernel: Kernel;
  places: readonly Place[];
  test: TaskModel | null;
  isCurrent: boolean;
  /** Whether the menu of this row is open. */
  hasMenu: boolean;
  events: IRowEvents;
  trans: TranslationBundle;
}

/**
 * A kernel. The keyboard goes from row to row, and from a row to its buttons.
 */
export const Row = React.memo(function Row(props: IRowProps): JSX.Element {
  const { kernel, isCurrent, hasMenu, events, trans } = props;
  const { display_name, config } = kernel;
  const key = keyOf(kernel);
  const tabIndex = isCurrent ? 0 : -1;
  return (
    <tr
      role="row"
      tabIndex={tabIndex}
      data-kernel={key}
      className={hasMenu ? 'jp-mod-active' : undefined}
      onFocus={() => events.onFocus(key)}
      onDoubleClick={() => events.onEdit(key)}
      onContextMenu={event => {
        event.preventDefault();
        event.stopPropagation();
        events.onMenu(key, { x: event.clientX, y: event.clientY });
      }}
    >
      <th scope="row" role="rowheader" data-column="kernel">
        <span className="jp-PySparkKernels-kernelName">{display_name}</span>
        <div className="jp-PySparkKernels-description">{kernel.name}</div>
      </th>
      <PlaceCell {...props} />
      <td role="cell" data-column="environment">
        {config && (
          <>
            {shortPath(config.environment)}
            <div className="jp-PySparkKernels-description">
              <Path path={config.environment} />
            </div>
          </>
        )}
      </td>
      <td role="cell" data-column="master">
        {config?.master}
      </td>
      <td role="cell" data-column="used">
        <When when={kernel.last_used} never={trans.__('never')} />
      </td>
      <td role="cell" data-column="test">
        <TestCell {...props} />
      </td>
      <td role="cell" data-column="actions">
        <div className="jp-PySparkKernels-rowButtons">
          <button
            type="button"
            className="jp-PySparkKernels-button"
            tabIndex={tabIndex}
            aria-label={trans.__('Edit %1', display_name)}
            onClick={() => events.onEdit(key)}
          >
            {trans.__('Edit')}
          </button>
          <button
            type="button"
            className="jp-PySparkKernels-button jp-mod-icon"
            tabIndex={tabIndex}
            aria-label={trans.__('More actions for %1', display_name)}
            title={trans.__('More actions')}
            aria-haspopup="menu"
            aria-expanded={hasMenu}
            onClick={({ currentTarget }) => {
              const { left, bottom } = currentTarget.getBoundingClientRect();
              events.onMenu(key, { x: left, y: bottom });
            }}
          >
            <ellipsesIcon.react tag="span" />
          </button>
        </div>
      </td>
      <td role="cell" data-column="marks">
        <Marks kernel={kernel} trans={trans} />
      </td>
    </tr>
  );
});

function Marks(props: { kernel: Kernel; trans: TranslationBundle }) {
  const marks = marksOf(props.kernel, props.trans);
  if (marks.length === 0) {
    return null;
  }
  return (
    <ul className="jp-PySparkKernels-marks">
      {marks.map(({ id, label, reason }) => (
        <li key={id} data-mark={id}>
          <strong>{label}</strong> {reason}
        </li>
      ))}
    </ul>
  );
}

/**
 * A path, which is broken where a person would break it.
 */
function Path({ path }: { path: string }): JSX.Element {
  return (
    <span title={path}>
      {path.split(/(?<=\/)/).map((part, index) => (
        <React.Fragment key={index}>
          {part}
          <wbr />
        </React.Fragment>
      ))}
    </span>
  );
}

function PlaceCell({ kernel, places, trans }: IRowProps): JSX.Element {
  const { place, owner } = kernel;
  const directory = places.find(({ id }) => id === place)?.kernels ?? place;
  return (
    <td role="cell" data-column="place">
      {isShared(place, places)
        ? trans.__('Everyone · %1', owner)
        : trans.__('Only you · %1', owner)}
      {isShared(place, places) && (
        <div className="jp-PySparkKernels-description">
          <Path path={directory} />
        </div>
      )}
    </td>
  );
}

/**
 * A moment as people speak of it, and exactly for whoever points at it.
 */
function When(props: { when: string | null; never?: string }): JSX.Element {
  const { when, never } = props;
  return when === null ? (
    <span className="jp-PySparkKernels-description">{never}</span>
  ) : (
    <time dateTime={when} title={Time.format(when)}>
      {Time.formatHuman(when)}
    </time>
  );
}

function TestCell(props: IRowProps): JSX.Element {
  const { kernel, test, trans } = props;
  return test ? (
    <Followed {...props} model={test} />
  ) : kernel.last_test ? (
    <Result test={kernel.last_test} trans={trans} />
  ) : (
    <span className="jp-PySparkKernels-description">{trans.__('never')}</span>
  );
}

/**
 * A test that this window knows in full.
 */
function Followed(props: IRowProps & { model: TaskModel }): JSX.Element {
  const { kernel, model, events, trans } = props;
  const { task, isRunning } = useTaskView(model);
  const test = isRunning ? null : (resultOf(task) ?? kernel.last_test);
  return (
    <>
      {isRunning && (
        <div className="jp-PySparkKernels-running" role="status">
          <span className="jp-PySparkKernels-spinner" aria-hidden="true" />
          {progressText(task, trans)}
        </div>
      )}
      {test && (
        // The kernel may have been changed since.
        <Result
          test={{ ...test, outdated: kernel.last_test?.outdated ?? false }}
          trans={trans}
        />
      )}
      {!isRunning && task.error && (
        <div className="jp-PySparkKernels-failed">{task.error.message}</div>
      )}
      <button
        type="button"
        className="jp-PySparkKernels-link"
        tabIndex={props.isCurrent ? 0 : -1}
        aria-label={trans.__('Details of the test of %1', kernel.display_name)}
        onClick={() => events.onResult(keyOf(kernel))}
      >
        {trans.__('Details')}
      </button>
    </>
  );
}

function resultOf({ flight }: Task): KernelTest | null {
  if (!flight) {
    return null;
  }
  const { passed, verdict, when } = flight;
  return { passed, verdict, when, outdated: false };
}

function Result(props: {
  test: KernelTest;
  trans: TranslationBundle;
}): JSX.Element {
  const { test, trans } = props;
  return (
    <>
      <span
        className="jp-PySparkKernels-result"
        data-passed={test.passed}
        title={test.verdict}
      >
        {test.passed ? trans.__('Passed') : trans.__('Failed')}
      </span>{' '}
      <When when={test.when} />
      {test.outdated && (
        <div className="jp-PySparkKernels-description">
          {trans.__('Outdated: the kernel was changed since.')}
        </div>
      )}
      {!test.passed && (
        <div className="jp-PySparkKernels-description">{test.verdict}</div>
      )}
    </>
  );
}
