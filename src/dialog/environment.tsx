import type { TranslationBundle } from '@jupyterlab/translation';
import type { WidgetProps } from '@rjsf/utils';
import * as React from 'react';
import type { Environment } from '../api';
import { useLostFocus } from '../tasks/focus';
import { TaskProgress } from '../tasks/progress';
import { Combobox } from './combobox';
import type { IFormContext } from './templates';
import { commonProps, contextOf } from './widgets';

/**
 * The environments that were found, and any other by its path.
 */
export function EnvironmentWidget(props: WidgetProps): JSX.Element {
  const { id, placeholder, value, onChange } = props;
  const context = contextOf(props);
  const { environments, unanswered, trans } = context;
  const chosen = environments.find(({ path }) => path === value) ?? null;
  const options = React.useMemo(() => sorted(environments), [environments]);
  // What is shown below the field may have had the focus, and be gone.
  useLostFocus(() => document.getElementById(id), context.readying === null);
  return (
    <>
      <Combobox
        {...commonProps(props)}
        placeholder={placeholder}
        options={options}
        label={trans.__('Environments')}
        toggleLabel={trans.__('Show the environments')}
        emptyText={trans.__(
          'No environment that was found matches. Any other path can be typed in full.'
        )}
        countText={count =>
          trans._n('%1 environment', '%1 environments', count)
        }
        textOf={environment => searchText(environment)}
        valueOf={({ path }) => path}
        render={environment => (
          <Option environment={environment} trans={trans} />
        )}
        onValue={onChange}
      />
      <div id={`${id}__problem`} className="jp-PySparkKernels-error">
        {chosen?.problem && <p>{chosen.problem}.</p>}
      </div>
      <Remedy key={value} chosen={chosen} context={context} />
      {unanswered.length > 0 && (
        <p className="jp-PySparkKernels-description">
          {trans.__(
            'These folders did not answer, so what is in them is not listed: %1',
            unanswered.join(', ')
          )}
        </p>
      )}
    </>
  );
}

/**
 * Put the environments that can be used first.
 */
function sorted(environments: readonly Environment[]): readonly Environment[] {
  const isUsable = ({ problem }: Environment): boolean => problem === null;
  return [
    ...environments.filter(isUsable),
    ...environments.filter(environment => !isUsable(environment))
  ];
}

/**
 * Everything of an environment that can be searched for.
 */
function searchText({
  path,
  kind,
  python_version,
  packages
}: Environment): string {
  const versions = Object.entries(packages).map(
    ([name, version]) => `${name} ${version}`
  );
  return [path, kind, `python ${python_version ?? ''}`, ...versions].join(' ');
}

function Option(props: {
  environment: Environment;
  trans: TranslationBundle;
}): JSX.Element {
  const { environment, trans } = props;
  const { path, kind, python_version, packages, problem } = environment;
  const facts = [
    kind === 'other' ? '' : kind,
    python_version ? trans.__('Python %1', python_version) : '',
    packages.pyspark
      ? trans.__('PySpark %1', packages.pyspark)
      : packages['pyspark-client']
        ? trans.__('PySpark %1, Spark Connect only', packages['pyspark-client'])
        : trans.__('no PySpark')
  ];
  return (
    <>
      <div className="jp-PySparkKernels-path">{path}</div>
      <div className="jp-PySparkKernels-facts">
        {facts.filter(Boolean).join(' · ')}
      </div>
      {problem && (
        <div className="jp-PySparkKernels-unusable">
          {trans.__('Cannot be used: %1', problem)}
        </div>
      )}
    </>
  );
}

/**
 * What can be done about an environment that cannot be used, and how far that is.
 */
function Remedy(props: {
  chosen: Environment | null;
  context: IFormContext;
}): JSX.Element | null {
  const { chosen, context } = props;
  const { readying, trans } = context;
  const { makeReady, cancelReadying, resumeReadying } = context;
  const isOf = readying?.task.environment === chosen?.path;
  if (readying && (isOf || readying.isRunning)) {
    return (
      <TaskProgress
        {...readying}
        trans={trans}
        onCancel={cancelReadying}
        onResume={resumeReadying}
      />
    );
  }
  return chosen?.remedy === 'install-ipykernel' ? (
    <Install
      environment={chosen}
      trans={trans}
      onInstall={() => makeReady(chosen.path)}
    />
  ) : null;
}

/**
 * A button that installs what is missing, after a question: it changes an environment that may be
 * used for other things.
 */
function Install(props: {
  environment: Environment;
  trans: TranslationBundle;
  onInstall: () => void;
}): JSX.Element {
  const { environment, trans, onInstall } = props;
  const [isAsking, setAsking] = React.useState(false);
  const first = React.useRef<HTMLButtonElement>(null);
  const wasAsking = React.useRef(false);
  React.useEffect(() => {
    // The button that had the focus is gone.
    if (isAsking || wasAsking.current) {
      first.current?.focus();
    }
    wasAsking.current = isAsking;
  }, [isAsking]);
  if (!isAsking) {
    return (
      <div className="jp-PySparkKernels-buttons">
        <button
          ref={first}
          type="button"
          className="jp-PySparkKernels-button"
          onClick={() => setAsking(true)}
        >
          {trans.__('Install ipykernel')}
        </button>
      </div>
    );
  }
  return (
    <div
      className="jp-PySparkKernels-question"
      role="group"
      aria-label={trans.__('Install ipykernel')}
      data-own-keys
      onKeyDown={event => {
        if (event.key === 'Escape') {
          setAsking(false);
        }
      }}
    >
      <p>
        {trans.__(
          'This installs ipykernel and what it needs into %1, by %2 as you have configured it. Whatever else uses this environment sees it too.',
          environment.path,
          environment.installer ?? ''
        )}
      </p>
      <div className="jp-PySparkKernels-buttons">
        <button
          ref={first}
          type="button"
          className="jp-PySparkKernels-button"
          onClick={onInstall}
        >
          {trans.__('Install')}
        </button>
        <button
          type="button"
          className="jp-PySparkKernels-button"
          onClick={() => setAsking(false)}
        >
          {trans.__('Do not install')}
        </button>
      </div>
    </div>
  );
}
