@echo off
rem Sets up if needed, then starts the Streamlit page, and the backend unless it runs. Quoted paths: the folder may hold spaces and any letters.
setlocal
chcp 65001 >nul
cd /d "%~dp0"
set "PHONOGRAM_PROGRAM=start_streamlit.bat"
set "PYTHONUTF8=1"
set "FITS=import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))"

rem The Python of an earlier set-up is the quickest to find; it is gone when its own Python was removed.
if not exist ".venv\Scripts\python.exe" goto search
".venv\Scripts\python.exe" -c "%FITS%" >nul 2>nul
if errorlevel 1 goto search
".venv\Scripts\python.exe" "%~dp0launch.py" start streamlit %*
goto done

:search
for %%V in (3.13 3.12 3.11 3.10) do (
    py -%%V -c "%FITS%" >nul 2>nul
    if not errorlevel 1 (
        py -%%V "%~dp0launch.py" start streamlit %*
        goto done
    )
)
rem The python.exe of the Microsoft Store is no Python: it fails here too.
python -c "%FITS%" >nul 2>nul
if errorlevel 1 goto missing
python "%~dp0launch.py" start streamlit %*
goto done

:missing
echo No Python 3.10 to 3.13 was found. What there is:
python --version
echo Install one of them from python.org and tick "Add python.exe to PATH"; no administrator is needed.
echo Then start this file again.
pause
exit /b 1

:done
if errorlevel 1 (
    echo.
    echo It stopped with an error; the reason is above.
    pause
    exit /b 1
)
endlocal
